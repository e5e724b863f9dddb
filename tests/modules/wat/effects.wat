;; Asks for more effects than an event may have. `source` 0: many small messages; 1: wakes of 8192 bytes.
(module
  (import "coracle:msg@1" "publish" (func $publish (param i32 i32 i32 i32) (result i32)))
  (import "coracle:wake@1" "request" (func $wake (param i32 i32 i32 i32) (result i32)))
  (memory 9000 9000 (pagesize 1))
  (data (i32.const 0) "topic/afault")
  (func (export "on_event") (param i32) (param $source i32) (param i32) (result i32)
    (local $i i32)
    (loop $next
      (i32.store (i32.add (i32.const 64) (i32.mul (local.get $i) (i32.const 4)))
        (if (result i32) (local.get $source)
          (then (call $wake (i32.const 7) (i32.const 5) (i32.const 0) (i32.const 8192)))
          (else (call $publish (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 192)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (i32.const 20))))
    (i32.const 0)))
