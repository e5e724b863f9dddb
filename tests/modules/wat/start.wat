;; A start function, which becomes an export, then init; both change what the first event sees.
(module
  (memory 64 (pagesize 1))
  (global $g (mut i32) (i32.const 1))
  (func $start (global.set $g (i32.mul (global.get $g) (i32.const 10))))
  (start $start)
  (func (export "init") (result i32)
    (global.set $g (i32.add (global.get $g) (i32.const 3)))
    (i32.const 0))
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (i32.store (i32.const 8) (global.get $g))
    (i32.const 0)))
