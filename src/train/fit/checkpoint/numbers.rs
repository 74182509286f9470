//! Numbers and reports as text.

use crate::train::EpochReport;

/// A number that is read back as the same bits.
pub(super) fn exact(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

pub(super) fn from_exact(text: &str) -> Option<f64> {
    u64::from_str_radix(text, 16).ok().map(f64::from_bits)
}

pub(super) fn epoch_to_text(epoch: &EpochReport) -> String {
    let EpochReport { epoch, train, valid, lr } = *epoch;
    format!("{epoch} {} {} {}", exact(train), valid.map_or("-".into(), exact), exact(f64::from(lr)))
}

pub(super) fn epoch_from_text(line: &str) -> Option<EpochReport> {
    let mut parts = line.split(' ');
    let epoch = parts.next()?.parse().ok()?;
    let train = from_exact(parts.next()?)?;
    let valid = match parts.next()? {
        "-" => None,
        valid => Some(from_exact(valid)?),
    };
    let lr = from_exact(parts.next()?)? as f32;
    parts.next().is_none().then_some(EpochReport { epoch, train, valid, lr })
}
