//! Echo program: what a kernel's RPMsg driver can be tested against, without the supervisor.
//!
//! Every message goes back to its sender, unchanged, from the endpoint that it came to: [`ANNOUNCED`], whose channel
//! [`CHANNEL`] is announced as soon as the link is up, [`SILENT`], which is not announced, and one that the stack chooses
//! (the trace says which). While no buffer is free an answer is held and nothing more is received: whoever sends without
//! reading runs out of buffers himself.
//!
//! Messages to the endpoint [`CONTROL`] are commands, and then go back like any other:
//! - `+NAME` announces a channel of that name at the endpoint [`SECOND`], which then answers, too;
//! - `-NAME` announces that it is gone, and closes that endpoint;
//! - `!` panics, which resets the core. The link goes on if Linux leaves it up, with a new announcement.
//!
//! The answer of a command that could not be carried out starts with `?` instead.
//!
//! The link is up while the status in the table that Linux loaded is DRIVER_OK.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod firmware {
    use coracle_board_api::{Doorbell as _, Sleep as _};
    use coracle_firmware_mps2::{Board, trace};
    use coracle_firmware_qemu_an500::constants::SHARED;
    use coracle_firmware_qemu_an500::start;
    use coracle_rpmsg::{
        ADDRESS_ANY, ControlWords, Device, Endpoint, Fault, Instance, Layout, PAYLOAD_BYTES_MAX, Received, Rpmsg,
        RpmsgError, STATUS_DRIVER_OK, VringSize, read_table,
    };

    /// The channel that Linux binds its character device to.
    const CHANNEL: &str = "rpmsg-raw";
    /// Endpoint of [`CHANNEL`]; the number is that of NXP's examples.
    const ANNOUNCED: u32 = 0x1e;
    /// An endpoint that must be known to be reached.
    const SILENT: u32 = 0x1f;
    /// Endpoint of the commands.
    const CONTROL: u32 = 0x20;
    /// Endpoint of channels that a command announced.
    const SECOND: u32 = 0x21;
    /// The four above and the chosen one.
    const ENDPOINTS: usize = 5;

    #[cortex_m_rt::entry]
    fn main() -> ! {
        let mut board = start();
        let (layout, words) = match prepare(&board) {
            Ok(prepared) => prepared,
            Err(what) => panic!("the board file and the resource table disagree: {what}"),
        };
        let mut link = None;
        // Rings with which something was wrong are not taken up again before Linux took them away.
        let mut spoiled = false;
        loop {
            while board.doorbell.take().is_some() {}
            let ready = words.status() == Ok(STATUS_DRIVER_OK);
            if !ready {
                if link.take().is_some() {
                    trace(format_args!("echo: link down"));
                }
                spoiled = false;
            } else if !spoiled {
                let result = match link.as_mut() {
                    Some(echo) => Echo::turn(echo),
                    None => Echo::new(&layout).and_then(|echo| link.insert(echo).turn()),
                };
                if let Err(error) = result {
                    trace(format_args!("echo: {error}"));
                    (link, spoiled) = (None, true);
                }
            }
            while let Some(kick) = link.as_mut().and_then(|echo: &mut Echo| echo.rpmsg.take_kick()) {
                board.doorbell.ring(kick);
            }
            board.sleep_until(None);
        }
    }

    /// Where the rings lie, and the words of the table that Linux loaded.
    fn prepare(board: &Board) -> Result<(Layout<'static>, ControlWords<'static>), &'static str> {
        let size = VringSize::new(SHARED.vring_num, SHARED.vring_align).ok_or("ring size")?;
        let pieces = [SHARED.vring0, SHARED.vring1, SHARED.buffers].map(|span| (span.offset, span.bytes));
        let layout = Layout::of_pieces(board.shared, SHARED.address, pieces, size).map_err(|_| "layout")?;
        let vrings = [SHARED.vring0, SHARED.vring1].map(|span| SHARED.address + span.offset);
        let words = read_table(board.loaded_table, vrings, size).map_err(|_| "rings")?;
        Ok((layout, words))
    }

    /// The link to Linux.
    struct Echo {
        rpmsg: Instance<Device<'static>, ENDPOINTS>,
        announced: Endpoint,
        control: Endpoint,
        is_announced: bool,
        /// A message that has not been answered yet; its payload is at the start of `payload`.
        held: Option<Message>,
        payload: [u8; PAYLOAD_BYTES_MAX],
    }

    struct Message {
        to: Endpoint,
        from: u32,
        len: usize,
        /// It is a command that was not carried out yet.
        is_command: bool,
    }

    impl Echo {
        fn new(layout: &Layout<'static>) -> Result<Self, RpmsgError> {
            // Linux does not notice when this core alone is reset: the rings may have been in use.
            let mut rpmsg = Instance::new(Device::resume(layout)?);
            rpmsg.set_link_up();
            let announced = rpmsg.create_endpoint(ANNOUNCED)?;
            let silent = rpmsg.create_endpoint(SILENT)?;
            let control = rpmsg.create_endpoint(CONTROL)?;
            let chosen = rpmsg.create_endpoint(ADDRESS_ANY)?;
            trace(format_args!(
                "echo: link up, {CHANNEL} at {:#x}, echo at {:#x} and {:#x}, commands at {:#x}",
                announced.address(),
                silent.address(),
                chosen.address(),
                control.address()
            ));
            Ok(Self { rpmsg, announced, control, is_announced: false, held: None, payload: [0; PAYLOAD_BYTES_MAX] })
        }

        /// Does what can be done without waiting.
        fn turn(&mut self) -> Result<(), RpmsgError> {
            match self.work() {
                // Asked for first, then tried again: a buffer that came back in between came without a kick.
                Err(RpmsgError::NoBuffer) => {
                    self.rpmsg.want_buffer_kick(true)?;
                    match self.work() {
                        Err(RpmsgError::NoBuffer) => return Ok(()),
                        result => result?,
                    }
                }
                result => result?,
            }
            self.rpmsg.want_buffer_kick(false)
        }

        /// Answers everything that there is.
        fn work(&mut self) -> Result<(), RpmsgError> {
            if !self.is_announced {
                self.rpmsg.announce(self.announced, CHANNEL, false)?;
                self.is_announced = true;
            }
            loop {
                if let Some(message) = self.held.as_mut() {
                    let payload = self.payload.get_mut(..message.len).ok_or(RpmsgError::Size)?;
                    if message.is_command {
                        match obey(&mut self.rpmsg, payload) {
                            Ok(()) => {}
                            Err(RpmsgError::NoBuffer) => return Err(RpmsgError::NoBuffer),
                            Err(error) => {
                                trace(format_args!("echo: command refused: {error}"));
                                payload.iter_mut().take(1).for_each(|byte| *byte = b'?');
                            }
                        }
                        message.is_command = false;
                    }
                    match self.rpmsg.send(message.to, message.from, payload) {
                        // An answer that cannot be sent (a sender without an address, an endpoint that was closed by
                        // the command itself) is not a reason to stop answering others.
                        Err(error @ (RpmsgError::NoBuffer | RpmsgError::Fault(Fault::Index | Fault::Layout))) => {
                            return Err(error);
                        }
                        Err(error) => trace(format_args!("echo: no answer to {:#x}: {error}", message.from)),
                        Ok(()) => {}
                    }
                    self.held = None;
                }
                match self.rpmsg.receive(&mut self.payload)? {
                    None => return Ok(()),
                    Some(Received::Message { endpoint, src, len }) => {
                        self.held =
                            Some(Message { to: endpoint, from: src, len, is_command: endpoint == self.control });
                    }
                    Some(Received::Channel(channel)) => {
                        trace(format_args!("echo: Linux has a channel at {:#x}", channel.address));
                    }
                }
            }
        }
    }

    /// Carries a command out. Can be called again after [`RpmsgError::NoBuffer`].
    fn obey(rpmsg: &mut Instance<Device<'static>, ENDPOINTS>, command: &[u8]) -> Result<(), RpmsgError> {
        let second = Endpoint::from_address(SECOND);
        let (verb, name) = command.split_first().ok_or(RpmsgError::Name)?;
        let name = core::str::from_utf8(name).map_err(|_| RpmsgError::Name)?;
        match verb {
            b'+' => {
                match rpmsg.create_endpoint(SECOND) {
                    // It is there already.
                    Ok(_) | Err(RpmsgError::Address) => {}
                    Err(error) => return Err(error),
                }
                rpmsg.announce(second, name, false)
            }
            b'-' => {
                rpmsg.announce(second, name, true)?;
                rpmsg.destroy_endpoint(second)
            }
            b'!' => panic!("asked to panic"),
            _ => Err(RpmsgError::Name),
        }
    }
}

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is firmware: build it with --target thumbv7em-none-eabihf --profile firmware");
}
