//! The types of a file's elements.

use std::fmt;

macro_rules! dtypes {
    ($($(#[$doc:meta])* $dtype:ident $name:literal,)*) => {
        /// The type of a tensor's elements.
        ///
        /// ```
        /// assert_eq!(elman::format::Dtype::BF16.to_string(), "BF16");
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Dtype {
            $($(#[$doc])* $dtype,)*
        }

        impl Dtype {
            /// As the format spells it, e.g. `F32`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Dtype::$dtype => $name,)*
                }
            }

            /// The one that the format spells so.
            pub(super) fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Dtype::$dtype),)*
                    _ => None,
                }
            }
        }
    };
}

dtypes! {
    /// One byte, 0 or 1.
    Bool "BOOL",
    /// 4 bits, OCP microscaling.
    F4 "F4",
    /// 6 bits, 2 of exponent, OCP microscaling.
    F6E2M3 "F6_E2M3",
    /// 6 bits, 3 of exponent, OCP microscaling.
    F6E3M2 "F6_E3M2",
    /// Unsigned, 8 bits.
    U8 "U8",
    /// Signed, 8 bits.
    I8 "I8",
    /// 8 bits, 5 of exponent.
    F8E5M2 "F8_E5M2",
    /// 8 bits, 4 of exponent.
    F8E4M3 "F8_E4M3",
    /// 8 bits, all of exponent, OCP microscaling.
    F8E8M0 "F8_E8M0",
    /// 8 bits, 4 of exponent, without negative zero and infinities.
    F8E4M3Fnuz "F8_E4M3FNUZ",
    /// 8 bits, 5 of exponent, without negative zero and infinities.
    F8E5M2Fnuz "F8_E5M2FNUZ",
    /// Signed, 16 bits.
    I16 "I16",
    /// Unsigned, 16 bits.
    U16 "U16",
    /// IEEE half precision.
    F16 "F16",
    /// The upper half of an F32.
    BF16 "BF16",
    /// Signed, 32 bits.
    I32 "I32",
    /// Unsigned, 32 bits.
    U32 "U32",
    /// IEEE single precision.
    F32 "F32",
    /// Complex, two F32.
    C64 "C64",
    /// IEEE double precision.
    F64 "F64",
    /// Signed, 64 bits.
    I64 "I64",
    /// Unsigned, 64 bits.
    U64 "U64",
}

impl Dtype {
    /// Those that are read as `f32`.
    pub(super) const FLOATS: &[Dtype] = &[Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16];

    /// Those that are read as `i64`.
    pub(super) const INTEGERS: &[Dtype] =
        &[Dtype::I64, Dtype::I32, Dtype::I16, Dtype::I8, Dtype::U32, Dtype::U16, Dtype::U8];

    /// `A, B or C`, for a message.
    pub(super) fn one_of(dtypes: &[Dtype]) -> String {
        super::quote::one_of(&dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>())
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
