//! What lies in shared memory, the frames of the sensor, and the records that a guest reads.

use coracle_board_api::log_ring::{BYTES_MIN, Encoding, Producer};
use coracle_board_api::sensor_wire::{self, Block, Decoder};
use coracle_bulk::{BulkRef, BulkWriter, RetainedWriter};
use coracle_guest_abi::{BlockHeader, EventRecord, SensorInfo};
use coracle_rpmsg::{
    Header, KICK_TO_DEVICE, KICK_TO_DRIVER, NAME_SERVICE_ADDRESS, NameService, STATUS_DRIVER_OK, TableSpec, VringSize,
    write_table,
};
use coracle_shmem::{HeapRegion, Region};
use coracle_wire::{A_ENDPOINT, M_ENDPOINT};

use crate::tools::assert_bytes;

fn read(region: Region<'_>, at: usize, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    region.read(at, &mut out).unwrap();
    out
}

#[test]
fn rpmsg_headers_and_announcements() {
    let header = Header { src: M_ENDPOINT, dst: A_ENDPOINT, len: 300 };
    let golden = [
        0x1E, 0, 0, 0, // from
        0, 4, 0, 0, // to
        0, 0, 0, 0, // reserved
        0x2C, 1, // length: fixed width here
        0, 0, // flags
    ];
    assert_bytes(&header, &header.to_bytes(), &golden);
    assert_eq!(Header::from_bytes(&golden), header);

    let announcement = NameService::new("coracle-link", M_ENDPOINT, true).unwrap();
    let golden = [
        b"coracle-link",
        &[0; 20][..],     // up to 32 bytes
        &[0x1E, 0, 0, 0], // address
        &[1, 0, 0, 0],    // destroyed
    ]
    .concat();
    assert_bytes(&announcement, &announcement.to_bytes(), &golden);
    assert_eq!(NameService::from_bytes(&golden), Some(announcement));
    assert_eq!(NameService::from_bytes(&golden[..39]), None);
    assert_eq!((NAME_SERVICE_ADDRESS, KICK_TO_DRIVER, KICK_TO_DEVICE), (53, 0, 1));
}

#[test]
fn the_resource_table() {
    let memory = HeapRegion::new(4096);
    let region = memory.region();
    let size = VringSize::new(64, 4096).unwrap();
    let spec = TableSpec { vrings: [0x2100_2000, 0x2100_4000], size, carveouts: &[], traces: &[] };
    let table = spec.build::<{ TableSpec::BARE_BYTES }>().unwrap();
    let (words, boot_id) = write_table(region, &table).unwrap();
    assert_eq!(boot_id, 1);
    words.set_driver_epoch(0x0403_0201).unwrap();
    words.set_device_epoch(0x0807_0605).unwrap();
    words.set_status(STATUS_DRIVER_OK).unwrap();
    let golden = [
        &[1, 0, 0, 0, 1, 0, 0, 0][..], // version, entries
        &[0; 8],                       // reserved
        &[20, 0, 0, 0],                // offset of the entry
        &[3, 0, 0, 0, 7, 0, 0, 0],     // vdev, RPMsg
        &[0, 0, 0, 0, 1, 0, 0, 0],     // notify id, features: name service
        &[1, 0, 0, 0, 12, 0, 0, 0],    // features taken by the driver, length of the configuration
        &[7, 2, 0, 0],                 // status, vrings, reserved
        &[0, 0x20, 0, 0x21],           // vring 0: address
        &[0, 0x10, 0, 0, 64, 0, 0, 0], // alignment, entries
        &[0, 0, 0, 0, 0, 0, 0, 0],     // notify id, reserved
        &[0, 0x40, 0, 0x21],           // vring 1
        &[0, 0x10, 0, 0, 64, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 2, 3, 4, 5, 6, 7, 8], // driver's epoch, device's epoch
        &[1, 0, 0, 0],             // boot id
    ]
    .concat();
    assert_eq!(golden.len(), TableSpec::BARE_BYTES);
    assert_bytes(&"resource table", &read(region, 0, TableSpec::BARE_BYTES), &golden);
}

#[test]
fn a_bulk_block() {
    let memory = HeapRegion::new(256);
    let mut writer = BulkWriter::new(memory.region(), 7);
    let block = writer.put(&[b"ab", b"c"]).unwrap();
    assert_eq!(block, BulkRef { offset: 0, len: 3, generation: 0x0007_0001 });
    assert_bytes(&"bulk block", &read(memory.region(), 0, 12), &[1, 0, 7, 0, 3, 0, 0, 0, b'a', b'b', b'c', 0]);
}

#[test]
fn the_retained_area() {
    // 8 bytes, then 16 slots of 2 copies of 24 bytes.
    let memory = HeapRegion::new(8 + 32 * 24);
    let mut writer = RetainedWriter::start(memory.region()).unwrap();
    assert_eq!(writer.payload_max(), 16);
    writer.write(2, b"abc").unwrap();
    writer.commit().unwrap();
    assert_bytes(&"transactions", &read(memory.region(), 0, 8), &[1, 0, 0, 0, 0, 0, 0, 0]);
    // A fresh slot's current copy is its first, so the second was written: transaction, length, payload.
    let at = 8 + 5 * 24;
    assert_bytes(&"slot 2", &read(memory.region(), at, 11), &[1, 0, 0, 0, 3, 0, 0, 0, b'a', b'b', b'c']);
}

#[test]
fn the_log_ring() {
    let memory = HeapRegion::new(BYTES_MIN as usize);
    let mut ring = Producer::open(memory.region(), Encoding::Text, 0x0807_0605_0403_0201).unwrap();
    assert!(ring.frame(b"hi\n"));
    assert!(!ring.frame(&[0; BYTES_MIN as usize]));
    let golden = [
        b"CRLG",
        &[1, 0, 0, 0][..],         // version
        &[2, 0, 0, 0],             // text
        &[0, 4, 0, 0],             // capacity
        &[1, 2, 3, 4, 5, 6, 7, 8], // producer id
        &[3, 0, 0, 0],             // write
        &[1, 0, 0, 0],             // dropped
        &[0; 96],                  // read (at 64) and what nobody uses
        b"hi\n",
    ]
    .concat();
    assert_bytes(&"log ring", &read(memory.region(), 0, golden.len()), &golden);
    Producer::open(memory.region(), Encoding::Defmt, 0).unwrap();
    assert_eq!(memory.region().load_u32(8), Ok(1), "defmt");
}

pub(crate) fn sensor_frames() -> [(Block, Vec<u8>); 2] {
    let block = Block::new(0x0403_0201, 0x0C0B_0A09_0807_0605, 12_000, 300, &[1, -2]).unwrap();
    let end = Block::end(9, 1_000_000, 12_000, 0);
    [
        (
            block,
            [
                &[0xA5, 0][..],               // magic, flags
                &[2, 0],                      // samples
                &[1, 2, 3, 4],                // sequence
                &[5, 6, 7, 8, 9, 10, 11, 12], // time
                &[0xE0, 0x2E, 0, 0],          // rate
                &[0x2C, 1, 0, 0],             // dropped
                &[1, 0, 0xFE, 0xFF],          // samples
                &[0xC4, 0x75],                // CRC-16/CCITT-FALSE: Python's binascii.crc_hqx(bytes, 0xFFFF)
            ]
            .concat(),
        ),
        (
            end,
            [
                &[0xA5, 1][..],
                &[0, 0],
                &[9, 0, 0, 0],
                &[0x40, 0x42, 0x0F, 0, 0, 0, 0, 0],
                &[0xE0, 0x2E, 0, 0],
                &[0, 0, 0, 0],
                &[0x2A, 0x17], // CRC
            ]
            .concat(),
        ),
    ]
}

#[test]
fn frames_of_the_sensor() {
    for (block, golden) in sensor_frames() {
        let mut out = [0; sensor_wire::FRAME_BYTES_MAX];
        let len = block.encode(&mut out);
        assert_bytes(&"sensor frame", &out[..len], &golden);
        let mut decoder = Decoder::new();
        let (last, rest) = golden.split_last().unwrap();
        assert!(rest.iter().all(|byte| decoder.push(*byte).is_none()), "nothing before the last byte");
        assert!(decoder.push(*last) == Some(&block));
    }
    assert_eq!(sensor_wire::CREDIT, 1);
}

#[test]
fn records_that_a_guest_reads() {
    let info = SensorInfo { rate_hz: 0x0403_0201, rate_max_hz: 9, block: 512, scale_nano: 300, unit: 1 };
    let golden = [&[1, 2, 3, 4][..], &[9, 0, 0, 0], &[0, 2, 0, 0], &[0x2C, 1, 0, 0], &[1, 0, 0, 0]].concat();
    assert_bytes(&info, &info.to_bytes(), &golden);
    assert_eq!(SensorInfo::from_bytes(&golden), Some(info));
    assert_eq!(SensorInfo::from_bytes(&golden[..19]), None);

    let event = EventRecord { kind: 7, source: 9, len: 300, tag: 0x0403_0201, time_us: 0x0807_0605_0403_0201 };
    let golden = [
        &[7, 0, 0, 0, 9, 0, 0, 0][..], // kind, source
        &[0x2C, 1, 0, 0],              // length
        &[1, 2, 3, 4],                 // tag
        &[1, 2, 3, 4, 5, 6, 7, 8],     // time
    ]
    .concat();
    assert_bytes(&event, &event.to_bytes(), &golden);
    assert_eq!(EventRecord::from_bytes(&golden), Some(event));
    assert_eq!(EventRecord::from_bytes(&golden[..23]), None);
}

#[test]
fn the_head_of_a_sensor_event() {
    let header =
        BlockHeader { timestamp_us: 0x0807_0605_0403_0201, sequence: 9, rate_hz: 12_000, dropped: 300, count: 512 };
    let golden = [
        &[1, 2, 3, 4, 5, 6, 7, 8][..], // time
        &[9, 0, 0, 0],
        &[0xE0, 0x2E, 0, 0],
        &[0x2C, 1, 0, 0],
        &[0, 2, 0, 0],
    ]
    .concat();
    assert_bytes(&header, &header.to_bytes(), &golden);
    assert_eq!(BlockHeader::from_bytes(&golden), Some(header));
    assert_eq!(BlockHeader::from_bytes(&golden[..23]), None);
}
