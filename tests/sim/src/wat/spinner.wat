;; Never ends its first run.
(module
  (memory 64 64 (pagesize 1))
  (func (export "init") (result i32)
    (loop $for_ever (br $for_ever))
    (i32.const 0))
  (func (export "on_event") (param i32 i32 i32) (result i32) (i32.const 0)))
