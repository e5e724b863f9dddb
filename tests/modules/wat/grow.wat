;; Grows its memory by `len` bytes an event and notes what memory.grow and memory.size said.
(module
  (memory 100 (pagesize 1))
  (global $last (mut i32) (i32.const 0))
  (global $failed (mut i32) (i32.const 0))
  (func (export "on_event") (param i32 i32) (param $len i32) (result i32)
    (global.set $last (memory.grow (local.get $len)))
    (if (i32.eq (global.get $last) (i32.const -1))
      (then (global.set $failed (i32.add (global.get $failed) (i32.const 1))))
      (else (i32.store8 (i32.sub (memory.size) (i32.const 1)) (i32.const 0xA5))))
    (i32.store (i32.const 0) (memory.size))
    (i32.const 0)))
