//! Frames on their way, opened and closed again.

use coracle_board_api::SharedLayout;
use coracle_bulk::BulkRef;
use coracle_link::{Credit, FRAME_BYTES_MAX, Frame};
use coracle_migrate::role::Step;
use coracle_shmem::Region;
use coracle_wire::{FromM, ToM};

use crate::world::Direction;

/// Bytes before the payload of a block in a bulk area.
const BLOCK_HEAD_BYTES: usize = 8;

/// Lets `change` see and change the migration step in a frame, if there is one.
pub fn change_step(direction: Direction, frame: &mut Vec<u8>, change: impl FnOnce(&mut Step<BulkRef>)) {
    let bytes = frame.clone();
    let Ok(Frame::Data { session, channel, seq, credit, sent_us, body }) = postcard::from_bytes::<Frame<'_>>(&bytes)
    else {
        return;
    };
    let mut out = [0; FRAME_BYTES_MAX];
    let body = match direction {
        Direction::ToM => match coracle_wire::decode::<ToM>(body) {
            Some(ToM::Migrate { id, name, mut step }) => {
                change(&mut step);
                coracle_wire::encode(&ToM::Migrate { id, name, step }, &mut out)
            }
            _ => return,
        },
        Direction::ToA => match coracle_wire::decode::<FromM>(body) {
            Some(FromM::Migrate { id, name, mut step }) => {
                change(&mut step);
                coracle_wire::encode(&FromM::Migrate { id, name, step }, &mut out)
            }
            _ => return,
        },
    };
    let mut whole = [0; FRAME_BYTES_MAX];
    let data = Frame::Data { session, channel, seq, credit, sent_us, body: body.unwrap() };
    *frame = coracle_link::encode(&data, &mut whole).unwrap().to_vec();
}

/// Lets `change` change what a frame grants, if it is one that grants.
pub fn change_credit(frame: &mut Vec<u8>, change: impl FnOnce(&mut Credit)) {
    let bytes = frame.clone();
    let Ok(mut changed) = postcard::from_bytes::<Frame<'_>>(&bytes) else { return };
    match &mut changed {
        Frame::Hello { credit, .. }
        | Frame::Welcome { credit, .. }
        | Frame::Data { credit, .. }
        | Frame::Ping { credit, .. }
        | Frame::Pong { credit, .. }
        | Frame::Credit { credit, .. } => change(credit),
        Frame::Reject { .. } | Frame::Reset { .. } => return,
    }
    *frame = coracle_link::encode(&changed, &mut [0; FRAME_BYTES_MAX]).unwrap().to_vec();
}

/// Replaces the payload of a block that travels in that direction by what `change` makes of it, which must not be
/// longer.
pub fn change_block(
    direction: Direction,
    region: Region<'_>,
    layout: &SharedLayout,
    block: &mut BulkRef,
    change: impl FnOnce(Vec<u8>) -> Vec<u8>,
) {
    let area = if direction == Direction::ToM { layout.bulk_to_m } else { layout.bulk_to_a };
    let at = (area.offset + block.offset) as usize;
    let mut payload = vec![0; block.len as usize];
    region.read(at + BLOCK_HEAD_BYTES, &mut payload).unwrap();
    let payload = change(payload);
    assert!(payload.len() <= block.len as usize);
    block.len = u32::try_from(payload.len()).unwrap();
    region.store_u32(at + 4, block.len).unwrap();
    region.write(at + BLOCK_HEAD_BYTES, &payload).unwrap();
}
