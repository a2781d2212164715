"""What a program moves between HBM and the chip, read from its text."""

import pytest

from porter.estimate.traffic import moved

# Layouts with S(1) are in the chip's memory; 1024 floats are 4096 bytes.
_FETCHED = """\
HloModule fetched, is_scheduled=true

%product (a: f32[8,128], b: f32[8,128]) -> f32[8,128] {
  %a = f32[8,128]{1,0:T(8,128)S(1)} parameter(0)
  %b = f32[8,128]{1,0:T(8,128)} parameter(1)
  ROOT %m = f32[8,128]{1,0:T(8,128)} multiply(%a, %b)
}

ENTRY %main (w: f32[16,128], x: f32[8,128]) -> f32[8,128] {
  %w = f32[16,128]{1,0:T(8,128)} parameter(0)
  %x = f32[8,128]{1,0:T(8,128)} parameter(1)
  %s = ((f32[16,128]{1,0:T(8,128)}), f32[8,128]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%w), slice={[0:8], [0:128]}
  %d = f32[8,128]{1,0:T(8,128)S(1)} slice-done(%s)
  ROOT %f = f32[8,128]{1,0:T(8,128)} fusion(%d, %x), kind=kLoop, calls=%product
}
"""

_IN_PLACE = """\
%put (cache: bf16[64,128], new: bf16[1,128], at: s32[]) -> bf16[64,128] {
  %cache = bf16[64,128]{1,0} parameter(0)
  %new = bf16[1,128]{1,0} parameter(1)
  %at = s32[] parameter(2)
  %zero = s32[] constant(0)
  ROOT %u = bf16[64,128]{1,0} dynamic-update-slice(%cache, %new, %at, %zero)
}

%pick (table: f32[1000,128], at: s32[1]) -> f32[1,128] {
  %table = f32[1000,128]{1,0} parameter(0)
  %at = s32[1]{0} parameter(1)
  %g = f32[1,128]{1,0} gather(%table, %at), offset_dims={1}, slice_sizes={1,128}
  ROOT %n = f32[1,128]{1,0} negate(%g)
}

%goes_on (state: (bf16[64,128], f32[1000,128])) -> pred[] {
  %state = (bf16[64,128]{1,0}, f32[1000,128]{1,0}) parameter(0)
  ROOT %yes = pred[]{:S(2)} constant(true)
}

%once (state: (bf16[64,128], f32[1000,128])) -> (bf16[64,128], f32[1000,128]) {
  %state = (bf16[64,128]{1,0}, f32[1000,128]{1,0}) parameter(0)
  %cache = bf16[64,128]{1,0} get-tuple-element(%state), index=0
  %table = f32[1000,128]{1,0} get-tuple-element(%state), index=1
  %at = s32[]{:S(2)} constant(3)
  %places = s32[1]{0:S(1)} constant({3})
  %row = f32[1,128]{1,0:S(1)} fusion(%table, %places), kind=kLoop, calls=%pick
  %new = bf16[1,128]{1,0:S(1)} convert(%row)
  %put_in = bf16[64,128]{1,0} fusion(%cache, %new, %at), kind=kLoop, calls=%put
  ROOT %next = (bf16[64,128]{1,0}, f32[1000,128]{1,0}) tuple(%put_in, %table)
}

ENTRY %main (cache: bf16[64,128], table: f32[1000,128]) -> (bf16[64,128], f32[1000,128]) {
  %cache = bf16[64,128]{1,0} parameter(0)
  %table = f32[1000,128]{1,0} parameter(1)
  %first = (bf16[64,128]{1,0}, f32[1000,128]{1,0}) tuple(%cache, %table)
  ROOT %last = (bf16[64,128]{1,0}, f32[1000,128]{1,0}) while(%first), condition=%goes_on, body=%once, backend_config={}
}
"""


def test_what_is_fetched_ahead_counts_once() -> None:
    fetched, read, written = 4096, 4096, 4096
    assert moved(_FETCHED) == (fetched + read + written, 0)


def test_a_copy_inside_hbm_is_read_and_written() -> None:
    copied = _FETCHED.replace("f32[8,128]{1,0:T(8,128)S(1)}", "f32[8,128]{1,0:T(8,128)}")
    assert moved(copied).total == 2 * 4096 + 3 * 4096


def test_parts_of_arrays_count_as_parts() -> None:
    row, slot = 128 * 4, 128 * 2
    assert moved(_IN_PLACE) == (row + slot, row + slot)


def test_a_loop_counts_as_often_as_the_compiler_knows() -> None:
    config = '{"known_trip_count":{"n":"16"}}'
    known = _IN_PLACE.replace("backend_config={}", f"backend_config={config}")
    assert moved(known).total == 16 * moved(_IN_PLACE).total


def test_a_program_has_an_entry() -> None:
    with pytest.raises(ValueError, match="no entry"):
        moved("HloModule nothing\n")
