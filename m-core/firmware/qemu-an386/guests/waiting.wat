;; A command that waits for its events.
(module
  (import "coracle:event@1" "wait" (func $wait (param i32 i64 i32) (result i32)))
  (memory (export "memory") 64 64 (pagesize 1))
  (func (export "_start")
    (loop $again
      (drop (call $wait (i32.const 0) (i64.const -1) (i32.const 0)))
      (br $again))))
