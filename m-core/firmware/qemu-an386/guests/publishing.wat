;; A container that publishes what it is told.
(module
  (import "coracle:event@1" "read" (func $read (param i32 i32) (result i32)))
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 512 512 (pagesize 1))
  (data (i32.const 0) "topic/a")
  (func (export "on_event") (param $kind i32) (param $source i32) (param $len i32) (result i32)
    (call $publish (i32.const 0) (i32.const 7) (i32.const 16) (call $read (i32.const 16) (i32.const 192)))))
