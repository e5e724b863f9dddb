//! Any bytes where a resource table should be.

use coracle_rpmsg::{
    ControlWords, STATUS_DRIVER_OK, TABLE_BYTES_MAX, Table, TableError, TableSpec, VringSize, read_table, write_table,
};
use coracle_shmem::HeapRegion;

const SPEC: TableSpec<'_> =
    TableSpec { vrings: [0x2100_1000, 0x2100_3000], size: VringSize::ST, carveouts: &[], traces: &[] };
const BYTES: usize = SPEC.bytes();
static OURS: [u8; BYTES] = SPEC.build().unwrap();

/// A table that was accepted can be driven to its last byte, and ours can be written over whatever was there before.
pub(crate) fn resource_table(input: &[u8]) {
    let parsed = Table::parse(input);
    // Beyond the end of the input nothing is looked at, so a region of that length must do.
    let len = input.len().min(TABLE_BYTES_MAX);
    let heap = HeapRegion::new(TABLE_BYTES_MAX);
    heap.region().write(0, &input[..len]).unwrap();
    let region = heap.region().sub(0, len).unwrap();
    assert_eq!(Table::read(&region), parsed, "a copy of the same bytes");
    if let Ok(table) = parsed {
        assert!(table.vrings.iter().all(|ring| ring.size.entries().is_power_of_two()));
        match ControlWords::new(region, &table) {
            Ok(words) => drive(&words),
            // A table without our config words, as other firmware has it.
            Err(error) => assert!(matches!(error, TableError::Differs { .. }), "{error}"),
        }
        let [first, second] = table.vrings;
        if first.size == second.size {
            let words = read_table(region, table.vrings.map(|ring| ring.device_address), first.size);
            // Refused only for what no parse looks at: our config words.
            assert_eq!(words.is_ok(), ControlWords::new(region, &table).is_ok());
        }
    }
    let (words, boot_id) = write_table(heap.region(), &OURS).unwrap();
    assert_ne!(boot_id, 0);
    assert_eq!((words.boot_id(), words.device_epoch()), (Ok(boot_id), Ok(0)));
    assert!(read_table(heap.region(), SPEC.vrings, SPEC.size).is_ok(), "our own table is refused");
}

/// No word of an accepted table lies outside its region.
fn drive(words: &ControlWords<'_>) {
    words.set_status(STATUS_DRIVER_OK).unwrap();
    assert_eq!(words.status(), Ok(STATUS_DRIVER_OK));
    words.set_driver_epoch(5).unwrap();
    words.set_device_epoch(6).unwrap();
    assert_eq!((words.driver_epoch(), words.device_epoch()), (Ok(5), Ok(6)));
    words.boot_id().unwrap();
}
