//! The elements of a file's tensors as numbers of this machine.

use super::dtype::Dtype;

impl Dtype {
    /// Writes the elements in `bytes` to `to`, as many as there are: F32 to the bit, F16 and BF16 exactly, F64 rounded
    /// to the nearest, ties to even. A NaN keeps its sign and the upper bits of its payload. Other types are left unread.
    pub(super) fn read(self, bytes: &[u8], to: &mut [f32]) {
        match self {
            Dtype::F32 => each(bytes, to, f32::from_le_bytes),
            Dtype::F64 => each(bytes, to, |bytes| narrow(f64::from_le_bytes(bytes))),
            Dtype::F16 => each(bytes, to, |bytes| half(u16::from_le_bytes(bytes))),
            Dtype::BF16 => each(bytes, to, |bytes| f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)),
            _ => {}
        }
    }

    /// The first element of `bytes` that is finite and would not be as `f32`, with its place.
    pub(super) fn beyond_f32(self, bytes: &[u8]) -> Option<(usize, f64)> {
        if self != Dtype::F64 {
            return None;
        }
        let values = bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
        values.enumerate().find(|&(_, value)| value.is_finite() && !narrow(value).is_finite())
    }
}

/// The elements of a tensor of that type; `None` where it is not one of [`Dtype::INTEGERS`].
pub(super) fn integers(dtype: Dtype, bytes: &[u8]) -> Option<Vec<i64>> {
    Some(match dtype {
        Dtype::I64 => all(bytes, i64::from_le_bytes),
        Dtype::I32 => all(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        Dtype::I16 => all(bytes, |bytes| i16::from_le_bytes(bytes).into()),
        Dtype::I8 => all(bytes, |bytes| i8::from_le_bytes(bytes).into()),
        Dtype::U32 => all(bytes, |bytes| u32::from_le_bytes(bytes).into()),
        Dtype::U16 => all(bytes, |bytes| u16::from_le_bytes(bytes).into()),
        Dtype::U8 => all(bytes, |bytes| u8::from_le_bytes(bytes).into()),
        _ => return None,
    })
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
