//! The A side: driver end of the rings, supervisor, and the loop that `coracled` has around them, one action a step.

use std::collections::{BTreeMap, VecDeque};

use coracle_boards::SharedLayout;
use coracle_container::execute;
use coracle_device::NoDevices;
use coracle_link::Credit;
use coracle_model::{Desired, Memories, Node, Output, Record};
use coracle_platform::{DriverPort, PortEvent};
use coracle_rpmsg::PAYLOAD_BYTES_MAX;
use coracle_shmem::Region;

use crate::guests::engine;

/// What survives a death of the A core.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// The desired state.
    pub desired: Option<Vec<u8>>,
    /// Records by container.
    pub records: BTreeMap<String, Vec<u8>>,
}

/// A running A core.
pub struct ASide<'m> {
    /// The supervisor.
    pub node: Node<'m>,
    port: DriverPort<'m>,
    /// What the supervisor said and is not done yet.
    pub outputs: VecDeque<Output>,
    /// There may be something in the rings.
    look: bool,
    stepped_us: Option<u64>,
}

/// What a step did.
#[derive(Debug, PartialEq)]
pub enum Did {
    /// Looked at the rings and found nothing.
    Nothing,
    /// Carried out an output.
    Output(Output),
    /// Took something from the rings.
    Received,
    /// Let the supervisor work.
    Worked,
}

impl<'m> ASide<'m> {
    /// Starts from what an earlier life stored.
    #[must_use]
    pub fn start(region: Region<'m>, layout: &SharedLayout, store: &Store) -> Self {
        let sub = |span: coracle_boards::Span| region.sub(span.offset as usize, span.bytes as usize).unwrap();
        let memories = Memories {
            bulk_to_m: sub(layout.bulk_to_m),
            bulk_to_a: sub(layout.bulk_to_a),
            retained: sub(layout.retained),
        };
        let port = DriverPort::new(region, layout).unwrap();
        let desired = store.desired.as_ref().map(|b| Desired::from_bytes(b).expect("a desired state is readable"));
        let records =
            store.records.values().map(|b| Record::from_bytes(b).expect("what was stored can be read")).collect();
        let room = Credit::for_buffers(layout.vring_num);
        let node = Node::new(engine(), memories, port.first_epoch(), desired, records, room);
        Self { node, port, outputs: VecDeque::new(), look: true, stepped_us: None }
    }

    /// Whether a real process would run now.
    #[must_use]
    pub fn is_due(&self, now_us: u64) -> bool {
        !self.outputs.is_empty() || self.look || self.node.has_work() || self.deadline_us().is_some_and(|d| d <= now_us)
    }

    /// When it wakes by itself.
    #[must_use]
    pub fn deadline_us(&self) -> Option<u64> {
        match self.stepped_us {
            None => Some(0),
            Some(at) => self.node.wait_us().map(|wait| at + wait),
        }
    }

    /// One action. `frame_in` may change a frame that came from M. Bells that rang go to `bells`.
    pub fn step(
        &mut self,
        now_us: u64,
        store: &mut Store,
        bells: &mut Vec<u8>,
        mut tamper: impl FnMut(bool, &mut Vec<u8>),
    ) -> Did {
        if let Some(output) = self.outputs.pop_front() {
            match &output {
                Output::Store { name, record } => {
                    store.records.insert(name.to_string(), record.clone());
                }
                Output::Forget { name } => {
                    store.records.remove(name.as_str());
                }
                Output::StoreDesired(bytes) => store.desired = Some(bytes.clone()),
                Output::Send(frame) => {
                    let mut frame = frame.clone();
                    tamper(false, &mut frame);
                    self.port.send(&frame);
                }
                Output::Device { token, call } => {
                    // What a container here uses is on M.
                    let answer = execute(call, &mut NoDevices);
                    self.node.device_answer(*token, answer, now_us);
                    self.collect();
                }
                Output::Sense { .. } | Output::Event(_) | Output::Reply(..) => {}
            }
            self.kicks(bells);
            return Did::Output(output);
        }
        let timer = self.deadline_us().is_some_and(|d| d <= now_us);
        let mut did = Did::Nothing;
        if self.look || timer {
            let mut payload = [0; PAYLOAD_BYTES_MAX];
            match self.port.poll(&mut payload).unwrap() {
                PortEvent::Idle => self.look = false,
                PortEvent::Open => self.node.channel_up(now_us),
                PortEvent::Lost(why) => self.node.channel_down(why),
                PortEvent::Frame(len) => {
                    let mut frame = payload[..len].to_vec();
                    tamper(true, &mut frame);
                    self.node.frame(&frame, now_us);
                }
            }
            if self.look {
                did = Did::Received;
            }
        }
        self.stepped_us = Some(now_us);
        let worked = self.node.has_work();
        self.node.step(now_us);
        if self.node.take_restart() {
            self.port.restart();
            self.look = true;
        }
        if worked && did == Did::Nothing {
            did = Did::Worked;
        }
        self.collect();
        self.kicks(bells);
        did
    }

    /// Takes what the supervisor said.
    pub fn collect(&mut self) {
        while let Some(output) = self.node.take_output() {
            self.outputs.push_back(output);
        }
    }

    fn kicks(&mut self, bells: &mut Vec<u8>) {
        while let Some(id) = self.port.take_kick() {
            bells.push(id);
        }
    }

    /// A bell arrives.
    pub fn bell(&mut self) {
        self.look = true;
    }
}
