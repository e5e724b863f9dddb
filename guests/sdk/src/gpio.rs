//! Digital pins, by the labels that the board gives them. The mode of a pin is the manifest's.

use crate::{Errno, abi, count};

/// An open input pin. A plain number, valid on both cores: it moves with the container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input(pub(crate) i32);

/// An open output pin. Not `Copy`, so that one part of a guest drives it.
#[derive(Debug, PartialEq, Eq)]
pub struct Output(i32);

/// Opens the pin of that label, which the manifest grants as an input.
///
/// # Errors
/// [`Errno::Denied`] when the manifest does not grant it, [`Errno::NoSpace`] when `limits.handles` are open.
pub fn input(label: &str) -> Result<Input, Errno> {
    open(label).map(Input)
}

/// Opens the pin of that label, which the manifest grants as an output.
///
/// # Errors
/// As [`input`].
pub fn output(label: &str) -> Result<Output, Errno> {
    open(label).map(Output)
}

fn open(label: &str) -> Result<i32, Errno> {
    let handle = abi::gpio_open(label);
    count(handle).map(|_| handle)
}

/// Which edges of a pin are events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Edges {
    /// None.
    None = 0,
    /// From low to high.
    Rising = 1,
    /// From high to low.
    Falling = 2,
    /// Both.
    Both = 3,
}

impl Input {
    /// Whether the pin is high. May park the container.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open, [`Errno::NoDevice`] when it is gone.
    pub fn is_high(self) -> Result<bool, Errno> {
        count(abi::gpio_read(self.0)).map(|level| level != 0)
    }

    /// Makes edges of the pin [`crate::Event::Pin`]. A level counts once it has lasted `debounce_us` microseconds. May
    /// park the container.
    ///
    /// # Errors
    /// As [`Input::is_high`]; [`Errno::Denied`] when the manifest grants the pin as an output.
    pub fn watch(self, edges: Edges, debounce_us: u32) -> Result<(), Errno> {
        count(abi::gpio_watch(self.0, u32::from(edges as u8), debounce_us)).map(drop)
    }

    /// Ends the use of the pin.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open.
    pub fn close(self) -> Result<(), Errno> {
        count(abi::gpio_close(self.0)).map(drop)
    }
}

impl Output {
    /// Sets the pin. May park the container.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open, [`Errno::Denied`] when the manifest grants it as an input,
    /// [`Errno::NoDevice`] when it is gone.
    pub fn set(&mut self, high: bool) -> Result<(), Errno> {
        count(abi::gpio_write(self.0, u32::from(high))).map(drop)
    }

    /// Ends the use of the pin. It keeps its level.
    ///
    /// # Errors
    /// [`Errno::BadHandle`] when it is not open.
    pub fn close(self) -> Result<(), Errno> {
        count(abi::gpio_close(self.0)).map(drop)
    }
}
