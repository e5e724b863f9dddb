;; 64 KiB pages, a declared maximum, growing across events.
(module
  (memory 1 2)
  (func (export "on_event") (param i32 i32 i32) (result i32)
    (i32.store (i32.const 0) (memory.grow (i32.const 1)))
    (i32.store (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 4)) (memory.size))
    (i32.const 0)))
