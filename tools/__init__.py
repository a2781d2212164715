"""Programs for those who work on sovits-port."""
