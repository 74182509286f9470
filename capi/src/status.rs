//! What a call answers.
#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};

use elman::ErrorKind;

/// What a call answers. A number keeps its meaning in all versions; later ones may have more of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElmanStatus {
    /// Done.
    Ok = 0,
    /// A pointer is NULL that may not be.
    Null = 1,
    /// A pointer is not one to a live handle of that kind: freed, or never made here.
    NotAHandle = 2,
    /// A number of elements, frames or channels is not the one that is needed.
    Length = 3,
    /// A tensor or a state has other sizes than the model needs.
    Shape = 4,
    /// A value in the data or the metadata is not one that it may have.
    Value = 5,
    /// A setting is outside its range.
    Setting = 6,
    /// A call does not fit what was called before.
    State = 7,
    /// The model has no parameters yet.
    Stale = 8,
    /// Well defined, but not something that the engine can run, or run step by step.
    Unsupported = 9,
    /// A model file can be read in more than one way.
    Ambiguous = 10,
    /// ELMAN_ISA names a tier of instructions that is unknown or that this machine lacks.
    Isa = 11,
    /// The tensors of a model file do not fit.
    Weights = 12,
    /// A file is not what it should be.
    Format = 13,
    /// The operating system refused.
    Io = 14,
    /// There is not as much memory as this would take.
    Memory = 15,
    /// The product of some sizes cannot be addressed.
    Overflow = 16,
    /// The model's file does not say it.
    Absent = 17,
    /// The calling thread's floating-point mode is not the default, and cannot be set on this CPU.
    FloatMode = 18,
    /// A fault in the library. The handle that the call was given should be freed.
    Panic = 19,
    /// An error of a kind that has no number of its own yet.
    Other = 20,
}

impl ElmanStatus {
    const ALL: [(Self, &str); 21] = [
        (Self::Ok, "ok\0"),
        (Self::Null, "null\0"),
        (Self::NotAHandle, "not a handle\0"),
        (Self::Length, "length\0"),
        (Self::Shape, "shape\0"),
        (Self::Value, "value\0"),
        (Self::Setting, "setting\0"),
        (Self::State, "state\0"),
        (Self::Stale, "stale\0"),
        (Self::Unsupported, "unsupported\0"),
        (Self::Ambiguous, "ambiguous\0"),
        (Self::Isa, "isa\0"),
        (Self::Weights, "weights\0"),
        (Self::Format, "format\0"),
        (Self::Io, "io\0"),
        (Self::Memory, "memory\0"),
        (Self::Overflow, "overflow\0"),
        (Self::Absent, "absent\0"),
        (Self::FloatMode, "float mode\0"),
        (Self::Panic, "panic\0"),
        (Self::Other, "other\0"),
    ];
}

impl From<ErrorKind> for ElmanStatus {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Shape => Self::Shape,
            ErrorKind::Length => Self::Length,
            ErrorKind::Overflow => Self::Overflow,
            ErrorKind::Memory => Self::Memory,
            ErrorKind::Setting => Self::Setting,
            ErrorKind::Value => Self::Value,
            ErrorKind::State => Self::State,
            ErrorKind::Stale => Self::Stale,
            ErrorKind::Unsupported => Self::Unsupported,
            ErrorKind::Ambiguous => Self::Ambiguous,
            ErrorKind::Isa => Self::Isa,
            ErrorKind::UnknownParameter | ErrorKind::Weights => Self::Weights,
            ErrorKind::Format => Self::Format,
            ErrorKind::Io => Self::Io,
            _ => Self::Other,
        }
    }
}

/// A status as a word, such as "length"; "unknown" for a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn elman_status_name(status: c_int) -> *const c_char {
    let found = ElmanStatus::ALL.iter().find(|(known, _)| *known as c_int == status);
    found.map_or("unknown\0", |(_, name)| name).as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use std::ffi::CStr;

    use super::*;

    #[test]
    fn every_number_has_a_name_of_its_own() {
        // SAFETY: the names are constants that end in a zero.
        let name = |status: c_int| unsafe { CStr::from_ptr(elman_status_name(status)) }.to_str().unwrap();
        for (number, (status, text)) in ElmanStatus::ALL.iter().enumerate() {
            assert_eq!((*status as usize, name(number as c_int)), (number, text.trim_end_matches('\0')));
        }
        assert_eq!([name(-1), name(21)], ["unknown"; 2]);
    }
}
