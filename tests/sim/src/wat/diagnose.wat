;; Every wake: says what it found, and counts.
(module
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory 16384 16384 (pagesize 1))
  (global $wakes (mut i32) (i32.const 0))
  (data (i32.const 0) "diagnosis\00\00\00\00\00\00\00inner race")
  (func (export "on_event") (param $kind i32) (param i32 i32) (result i32)
    (if (i32.ne (local.get $kind) (i32.const 3)) (then (return (i32.const 0))))
    (if (i32.ne (call $read (i32.const 1024) (i32.const 8192)) (i32.const 1000)) (then (return (i32.const -1))))
    (global.set $wakes (i32.add (global.get $wakes) (i32.const 1)))
    (call $publish (i32.const 0) (i32.const 9) (i32.const 16) (i32.const 10))))
