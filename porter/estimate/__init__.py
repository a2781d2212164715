"""What the real TPU compiler says of the port: compiles or not, FLOPs, bytes, HBM. No TPU is needed."""
