//! Reads `[container.NAME.grants]` and `args`: every entry for itself. What grants say about each other and about the
//! container's core is checked in `check`.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use coracle_policy::Name;
use toml::de::DeValue;

use crate::diagnostic::Diagnostic;
use crate::limits::{
    MAX_ARG_BYTES, MAX_ARGS, MAX_FILES, MAX_FOLDER_PATH_BYTES, MAX_GRANTS, MAX_HOST_BYTES, MAX_I2C_ADDRESSES,
    MAX_KV_BYTES, MAX_SENSOR_RATE_HZ,
};
use crate::read::{self, Errors, Field, NameKind, Table, Value, narrow, quote, report, wrong_type};
use crate::types::{FileGrant, Grants, HostGrant, I2cGrant, PinGrant, PinMode, SensorGrant, SpiGrant};

const GRANTS: Field = Field::new("grants", "[container.sentinel.grants]");
const SENSORS: Field = Field::new("sensors", "sensors = [\"accel0\"]");
const PINS: Field = Field::new("pins", "pins = [{ label = \"led\", mode = \"output\" }]");
const I2C: Field = Field::new("i2c", "i2c = [{ bus = \"i2c-1\", addresses = [0x48] }]");
const SPI: Field = Field::new("spi", "spi = [{ device = \"flash\" }]");
const PUBLISH: Field = Field::new("publish", "publish = [\"vibration/summary\"]");
const SUBSCRIBE: Field = Field::new("subscribe", "subscribe = [\"vibration/summary\"]");
const WAKE: Field = Field::new("wake", "wake = [\"fault\"]");
const KV: Field = Field::new("kv", "kv = \"1KiB\"");
const HOSTS: Field = Field::new("hosts", "hosts = [\"example.org:443\"]");
const FILES: Field = Field::new("files", "files = [{ guest = \"/data\", host = \"/var/lib/watch\" }]");

const NAME: Field = Field::new("name", "sensors = [{ name = \"accel0\", rate_hz = 1000 }]");
const RATE_HZ: Field = Field::new("rate_hz", "rate_hz = 1000");
const EXCLUSIVE: Field = Field::new("exclusive", "exclusive = true");
const LABEL: Field = Field::new("label", "label = \"led\"");
const MODE: Field = Field::new("mode", "mode = \"output\"");
const BUS: Field = Field::new("bus", "bus = \"i2c-1\"");
const ADDRESSES: Field = Field::new("addresses", "addresses = [0x48]");
const DEVICE: Field = Field::new("device", "device = \"flash\"");
const GUEST: Field = Field::new("guest", "guest = \"/data\"");
const HOST: Field = Field::new("host", "host = \"/var/lib/watch\"");
const WRITE: Field = Field::new("write", "write = true");

const PIN_MODES: [(&str, PinMode); 2] = [("input", PinMode::Input), ("output", PinMode::Output)];

/// The addresses that devices on an I2C bus have.
const I2C_ADDRESSES: RangeInclusive<u64> = 0x03..=0x77;

/// The other addresses of seven bits, and what the I2C specification (UM10204, section 3.1.12) has them for.
const I2C_RESERVED: [(RangeInclusive<u64>, &str); 5] = [
    (0x00..=0x00, "reserved for the general call to every device"),
    (0x01..=0x01, "reserved for CBUS devices"),
    (0x02..=0x02, "reserved for other bus formats"),
    (0x78..=0x7b, "reserved for ten-bit addresses"),
    (0x7c..=0x7f, "reserved for device identification"),
];

/// Reads the grants of the container called `container`.
pub(crate) fn read_grants(container: &str, value: &Value<'_>, errors: &mut Errors) -> Grants {
    let title = format!("`[container.{}.grants]`", container.escape_debug());
    let Some(mut table) = Table::of(value, title, GRANTS, errors) else {
        return Grants::default();
    };
    let grants = Grants {
        sensors: list(&mut table, errors),
        pins: list(&mut table, errors),
        i2c: list(&mut table, errors),
        spi: list(&mut table, errors),
        publish: names(&mut table, PUBLISH, NameKind::Topic, errors),
        subscribe: names(&mut table, SUBSCRIBE, NameKind::Topic, errors),
        wake: names(&mut table, WAKE, NameKind::Reason, errors),
        kv_bytes: table
            .optional(KV)
            .and_then(|value| read::size(value, KV, 1..=u64::from(MAX_KV_BYTES), errors))
            .map_or(0, narrow),
        hosts: list(&mut table, errors),
        files: list(&mut table, errors),
    };
    table.deny_unknown(errors);
    grants
}

/// Reads a container's `args`.
pub(crate) fn read_args(value: &Value<'_>, field: Field, errors: &mut Errors) -> Vec<String> {
    let read_arg = |item: &Value<'_>, errors: &mut Errors| {
        let text = read::text(item, field, errors)?;
        let problem = match text {
            _ if text.len() > MAX_ARG_BYTES => format!("{} bytes", text.len()),
            _ if text.contains('\0') => "has a zero byte".to_owned(),
            _ => return Some(text.to_owned()),
        };
        let help = format!("an argument can have at most {MAX_ARG_BYTES} bytes, none of them zero");
        report(
            errors,
            Diagnostic::at(item.span(), format!("{} cannot be an argument", quote(text)), help).label(problem),
        )
    };
    read::entries(value, field, "a list of strings", MAX_ARGS, read_arg, |_| None, errors)
}

fn names(table: &mut Table<'_, '_>, field: Field, kind: NameKind, errors: &mut Errors) -> Vec<Name> {
    table.optional(field).map_or_else(Vec::new, |value| read::names(value, field, kind, MAX_GRANTS, errors))
}

/// One entry in a list of grants.
trait Grant: Sized {
    /// The list.
    const FIELD: Field;
    /// The list's form, as messages call it.
    const FORM: &str = "a list of tables";
    /// The most entries.
    const MAX: usize = MAX_GRANTS;

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self>;

    /// What is granted, as messages call it; no two entries of a list grant the same.
    fn what(&self) -> String;

    /// The entry as a table.
    fn table<'t, 'i>(value: &'t Value<'i>, errors: &mut Errors) -> Option<Table<'t, 'i>> {
        Table::of(value, format!("an entry of `{}`", Self::FIELD.key), Self::FIELD, errors)
    }
}

fn list<G: Grant>(table: &mut Table<'_, '_>, errors: &mut Errors) -> Vec<G> {
    table.optional(G::FIELD).map_or_else(Vec::new, |value| {
        read::entries(value, G::FIELD, G::FORM, G::MAX, G::read, |grant| Some(grant.what()), errors)
    })
}

fn required_name(table: &mut Table<'_, '_>, field: Field, kind: NameKind, errors: &mut Errors) -> Option<Name> {
    table.required(field, errors).and_then(|value| read::name(value, field, kind, errors))
}

/// A flag that is off unless it is there.
fn flag(table: &mut Table<'_, '_>, field: Field, errors: &mut Errors) -> bool {
    table.optional(field).and_then(|value| read::flag(value, field, errors)).unwrap_or_default()
}

impl Grant for SensorGrant {
    const FIELD: Field = SENSORS;
    /// An entry that says more than the name is a table.
    const FORM: &str = "a list of strings";

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => {
                let name = read::name(value, SENSORS, NameKind::Sensor, errors)?;
                return Some(Self { name, rate_hz: None, exclusive: false });
            }
            DeValue::Table(_) => {}
            _ => return wrong_type(value, SENSORS, "a string or a table", errors),
        }
        let mut table = Self::table(value, errors)?;
        let name = required_name(&mut table, NAME, NameKind::Sensor, errors);
        let rate_hz = table
            .optional(RATE_HZ)
            .and_then(|value| read::integer(value, RATE_HZ, 1..=u64::from(MAX_SENSOR_RATE_HZ), errors))
            .map(narrow);
        let exclusive = flag(&mut table, EXCLUSIVE, errors);
        table.deny_unknown(errors);
        Some(Self { name: name?, rate_hz, exclusive })
    }

    fn what(&self) -> String {
        NameKind::Sensor.of(&self.name)
    }
}

impl Grant for PinGrant {
    const FIELD: Field = PINS;

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self> {
        let mut table = Self::table(value, errors)?;
        let label = required_name(&mut table, LABEL, NameKind::Pin, errors);
        let mode = table.required(MODE, errors).and_then(|value| read::choice(value, MODE, &PIN_MODES, errors));
        let exclusive = flag(&mut table, EXCLUSIVE, errors);
        table.deny_unknown(errors);
        Some(Self { label: label?, mode: mode?, exclusive })
    }

    fn what(&self) -> String {
        NameKind::Pin.of(&self.label)
    }
}

impl Grant for SpiGrant {
    const FIELD: Field = SPI;

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self> {
        let mut table = Self::table(value, errors)?;
        let device = required_name(&mut table, DEVICE, NameKind::SpiDevice, errors);
        let exclusive = flag(&mut table, EXCLUSIVE, errors);
        table.deny_unknown(errors);
        Some(Self { device: device?, exclusive })
    }

    fn what(&self) -> String {
        NameKind::SpiDevice.of(&self.device)
    }
}

impl Grant for I2cGrant {
    const FIELD: Field = I2C;

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self> {
        let mut table = Self::table(value, errors)?;
        let bus = required_name(&mut table, BUS, NameKind::Bus, errors);
        let addresses = table.required(ADDRESSES, errors).map(|value| read_addresses(value, errors));
        let exclusive = flag(&mut table, EXCLUSIVE, errors);
        table.deny_unknown(errors);
        Some(Self { bus: bus?, addresses: addresses?, exclusive })
    }

    fn what(&self) -> String {
        NameKind::Bus.of(&self.bus)
    }
}

fn read_addresses(value: &Value<'_>, errors: &mut Errors) -> Vec<u8> {
    if value.get_ref().as_array().is_some_and(|items| items.is_empty()) {
        errors.push(
            Diagnostic::at(
                value.span(),
                "`addresses` names no address",
                format!("write the device's address, as in `{}`, or remove the bus", ADDRESSES.example),
            )
            .label("empty"),
        );
    }
    let called = |address: &u8| Some(format!("address `{address:#04x}`"));
    read::entries(value, ADDRESSES, "a list of integers", MAX_I2C_ADDRESSES, read_address, called, errors)
}

fn read_address(value: &Value<'_>, errors: &mut Errors) -> Option<u8> {
    let DeValue::Integer(written) = value.get_ref() else {
        return wrong_type(value, ADDRESSES, "an integer", errors);
    };
    let number = read::unsigned(written);
    if let Some(address) = number.filter(|address| I2C_ADDRESSES.contains(address)) {
        return Some(narrow(address));
    }
    let reserved = I2C_RESERVED.iter().find(|(range, _)| number.is_some_and(|number| range.contains(&number)));
    let (first, last) = (I2C_ADDRESSES.start(), I2C_ADDRESSES.end());
    let help = match number {
        // Data sheets that give an address of eight bits count the direction bit.
        Some(eight_bits @ 0x80..=0xff) if I2C_ADDRESSES.contains(&(eight_bits >> 1)) => {
            format!("write the address without the direction bit: `{:#04x}`", eight_bits >> 1)
        }
        _ => format!("write the device's seven-bit address, from `{first:#04x}` to `{last:#04x}`"),
    };
    let (title, label) = match number {
        Some(number) => {
            let label = reserved.map_or("more than seven bits", |(_, reason)| reason);
            (format!("no I2C device has the address `{number:#04x}`"), label)
        }
        None => ("no I2C device has this address".to_owned(), "no such address"),
    };
    report(errors, Diagnostic::at(value.span(), title, help).label(label))
}

impl Grant for HostGrant {
    const FIELD: Field = HOSTS;
    const FORM: &str = "a list of strings";

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self> {
        let text = read::text(value, HOSTS, errors)?;
        parse_host(text).map_or_else(
            |problem| {
                let help = format!(
                    "write a DNS name in lower case or an IPv4 address, `:` and a port, as in `{}`",
                    HOSTS.example
                );
                let title = format!("{} is not a host with a port", quote(text));
                report(errors, Diagnostic::at(value.span(), title, help).label(problem))
            },
            Some,
        )
    }

    fn what(&self) -> String {
        format!("host `{}:{}`", self.host, self.port)
    }
}

/// Reads `example.org:443`; the error is the text beside the caret.
fn parse_host(text: &str) -> Result<HostGrant, String> {
    const MAX_LABEL_BYTES: usize = 63;
    let (name, port) = text.rsplit_once(':').ok_or("there is no port")?;
    // The number's own parser takes a sign.
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port > 0).ok_or("the port must be from 1 to 65535")?;
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if let Some(wrong) = name.chars().find(|&c| !allowed(c)) {
        return Err(format!("{} is not allowed in the name", quote(&wrong.to_string())));
    }
    if name.len() > MAX_HOST_BYTES {
        return Err(format!("the name has {} bytes, over {MAX_HOST_BYTES}", name.len()));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL_BYTES {
            return Err(format!("each part of the name must have 1 to {MAX_LABEL_BYTES} bytes"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part of the name cannot start or end with `-`".to_owned());
        }
    }
    // No top-level domain is a number, so this can only be meant as an address.
    let numeric = name.rsplit('.').next().is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err("not an IPv4 address".to_owned());
    }
    Ok(HostGrant { host: name.to_owned(), port })
}

impl Grant for FileGrant {
    const FIELD: Field = FILES;
    const MAX: usize = MAX_FILES;

    fn read(value: &Value<'_>, errors: &mut Errors) -> Option<Self> {
        let mut table = Self::table(value, errors)?;
        let guest = table.required(GUEST, errors).and_then(|value| read_folder(value, GUEST, errors));
        let host = table.required(HOST, errors).and_then(|value| read_folder(value, HOST, errors));
        let write = flag(&mut table, WRITE, errors);
        table.deny_unknown(errors);
        Some(Self { guest: guest?.to_owned(), host: host?.to_owned(), write })
    }

    fn what(&self) -> String {
        format!("guest folder `{}`", self.guest)
    }
}

/// An absolute path that says where it leads: nothing in it goes back up.
fn read_folder<'t>(value: &'t Value<'_>, field: Field, errors: &mut Errors) -> Option<&'t str> {
    let text = read::text(value, field, errors)?;
    let Some(parts) = text.strip_prefix('/') else {
        return refuse_folder(value, field, text, "does not start with `/`", errors);
    };
    let problem = match parts {
        _ if text.len() > MAX_FOLDER_PATH_BYTES => "too long",
        _ if text.contains(char::is_control) => "has a control character",
        _ if parts.split('/').any(|part| part == "." || part == "..") => "has `.` or `..`",
        // The root has one part, which is empty.
        _ if !parts.is_empty() && parts.split('/').any(str::is_empty) => "has a part without a name",
        _ => return Some(text),
    };
    refuse_folder(value, field, text, problem, errors)
}

fn refuse_folder<T>(value: &Value<'_>, field: Field, text: &str, problem: &str, errors: &mut Errors) -> Option<T> {
    let title = format!("`{}`: {} is not a plain absolute path", field.key, quote(text));
    let help = format!(
        "write it from `/` on, without `.`, `..` and a `/` at the end, at most {MAX_FOLDER_PATH_BYTES} bytes, as in `{}`",
        field.example
    );
    report(errors, Diagnostic::at(value.span(), title, help).label(problem))
}

#[cfg(test)]
mod tests {
    use super::parse_host;

    #[test]
    fn hosts() {
        let long_label = format!("{}.org:1", "a".repeat(63));
        let long_name = format!("{}abcde:1", "a.".repeat(124));
        for text in
            ["example.org:443", "a:1", "gw-1.local:65535", "192.168.1.10:8080", "1.a:1", &long_label, &long_name]
        {
            let host = parse_host(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
            assert_eq!(format!("{}:{}", host.host, host.port), *text);
        }
        for text in [
            "",
            ":",
            ":443",
            "example.org",
            "example.org:",
            "example.org:0",
            "example.org:65536",
            "example.org:+443",
            "example.org: 443",
            "Example.org:443",
            "https://example.org:443",
            "*.example.org:443",
            "example..org:443",
            "example.org.:443",
            ".org:443",
            "-a.org:443",
            "a-.org:443",
            "a_b.org:443",
            "192.168.1:80",
            "192.168.1.256:80",
            "192.168.01.1:80",
            "10:80",
            "[::1]:80",
            "::1:80",
            "b\u{fc}cher.example:443",
            &format!("a{long_label}"),
            &format!("a{long_name}"),
        ] {
            assert!(parse_host(text).is_err(), "{text}");
        }
    }
}
