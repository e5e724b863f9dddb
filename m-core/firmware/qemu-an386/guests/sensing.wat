;; A container that adds up the blocks of its sensor.
(module
  (import "coracle:sensor@1" "open" (func $open (param i32 i32) (result i32)))
  (import "coracle:sensor@1" "read_block" (func $block (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2048 2048 (pagesize 1))
  (data (i32.const 0) "accel0")
  (global $sum (mut i32) (i32.const 0))
  (export "coracle_global_0" (global $sum))
  (func (export "init") (result i32) (call $open (i32.const 0) (i32.const 6)))
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (local $at i32)
    (local $n i32)
    (local.set $n (call $block (local.get $source) (i32.const 16) (i32.const 64) (i32.const 512)))
    (if (i32.lt_s (local.get $n) (i32.const 0)) (then (return (local.get $n))))
    (block $end
      (loop $again
        (br_if $end (i32.eqz (local.get $n)))
        (global.set $sum (i32.add (global.get $sum) (i32.load16_s offset=64 (local.get $at))))
        (local.set $at (i32.add (local.get $at) (i32.const 2)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br $again)))
    (i32.const 0)))
