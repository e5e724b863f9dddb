;; A container that wants to be told every ten seconds, and does not mind another second.
(module
  (import "coracle:time@1" "set_timer" (func $set_timer (param i64 i64 i64) (result i32)))
  (memory (export "memory") 64 64 (pagesize 1))
  (func (export "init") (result i32)
    (call $set_timer (i64.const 10000000) (i64.const 10000000) (i64.const 1000000)))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))
