//! The elements of a file's tensors as numbers of this machine.

/// A type of elements that can be read as `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Float {
    F32,
    F64,
    F16,
    BF16,
}

impl Float {
    /// Every one of them.
    pub(super) const ALL: &[Float] = &[Float::F32, Float::F64, Float::F16, Float::BF16];

    /// As the format spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Float::F32 => "F32",
            Float::F64 => "F64",
            Float::F16 => "F16",
            Float::BF16 => "BF16",
        }
    }

    /// The one of these that the format spells so.
    pub(super) fn among(floats: &[Self], dtype: &str) -> Option<Self> {
        floats.iter().copied().find(|float| float.name() == dtype)
    }

    /// These, for a message.
    pub(super) fn names(floats: &[Self]) -> String {
        one_of(&floats.iter().map(|float| float.name()).collect::<Vec<_>>())
    }

    /// Writes the elements in `bytes` to `to`, as many as there are: F32 to the bit, F16 and BF16 exactly, F64 rounded
    /// to the nearest, ties to even. A NaN keeps its sign and the upper bits of its payload.
    pub(super) fn read(self, bytes: &[u8], to: &mut [f32]) {
        match self {
            Float::F32 => each(bytes, to, f32::from_le_bytes),
            Float::F64 => each(bytes, to, |bytes| narrow(f64::from_le_bytes(bytes))),
            Float::F16 => each(bytes, to, |bytes| half(u16::from_le_bytes(bytes))),
            Float::BF16 => each(bytes, to, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
        }
    }

    /// The first element of `bytes` that is finite and would not be as `f32`, with its place.
    pub(super) fn beyond_f32(self, bytes: &[u8]) -> Option<(usize, f64)> {
        if self != Float::F64 {
            return None;
        }
        let values = bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
        values.enumerate().find(|&(_, value)| value.is_finite() && !narrow(value).is_finite())
    }
}

/// The types of elements that [`integers`] reads.
pub(super) const INTEGERS: [&str; 7] = ["I64", "I32", "I16", "I8", "U32", "U16", "U8"];

/// The elements of a tensor of that type; `None` where it is not one of [`INTEGERS`].
pub(super) fn integers(dtype: &str, bytes: &[u8]) -> Option<Vec<i64>> {
    Some(match dtype {
        "I64" => all(bytes, i64::from_le_bytes),
        "I32" => all(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        "I16" => all(bytes, |bytes| i16::from_le_bytes(bytes).into()),
        "I8" => all(bytes, |bytes| i8::from_le_bytes(bytes).into()),
        "U32" => all(bytes, |bytes| u32::from_le_bytes(bytes).into()),
        "U16" => all(bytes, |bytes| u16::from_le_bytes(bytes).into()),
        "U8" => all(bytes, |bytes| u8::from_le_bytes(bytes).into()),
        _ => return None,
    })
}

/// `A, B or C`.
pub(super) fn one_of(names: &[&str]) -> String {
    match names {
        [names @ .., last] if !names.is_empty() => format!("{} or {last}", names.join(", ")),
        _ => names.concat(),
    }
}

fn each<const N: usize>(bytes: &[u8], to: &mut [f32], read: impl Fn([u8; N]) -> f32) {
    for (to, &from) in to.iter_mut().zip(bytes.as_chunks().0) {
        *to = read(from);
    }
}

fn all<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> i64) -> Vec<i64> {
    bytes.as_chunks().0.iter().map(|&bytes| read(bytes)).collect()
}

/// An F16: sign, 5 bits of exponent with bias 15, 10 of fraction.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    let magnitude = match magnitude {
        // Zero and subnormals: so many times 2^-24, the smallest of them.
        0..0x0400 => (magnitude as f32 * (1.0 / 16_777_216.0)).to_bits(),
        // The bias of f32 is 127.
        0x0400..0x7c00 => (magnitude << 13) + ((127 - 15) << 23),
        // Infinity, and NaN with its payload.
        _ => (magnitude << 13) | 0x7f80_0000,
    };
    f32::from_bits(sign | magnitude)
}

/// The nearest `f32`. A cast leaves open which NaN comes of one: here its sign stays and as much of its payload as
/// there is room for, quiet, so that none becomes an infinity.
fn narrow(value: f64) -> f32 {
    if !value.is_nan() {
        return value as f32;
    }
    let bits = value.to_bits();
    let (sign, payload) = ((bits >> 32) as u32 & 0x8000_0000, (bits >> 29) as u32 & 0x007f_ffff);
    f32::from_bits(sign | 0x7fc0_0000 | payload)
}
