//! The portable tier: its registers, its tiles, and the bodies, instantiated.
#![allow(unsafe_code)]

super::table::kernel_table! {
    isa: Portable,
    name: "portable",
    vector: crate::simd::portable::F32x8,
    token: Some(crate::simd::portable::Portable),
    assumed: crate::simd::portable::Portable,
    features: [],
    // What the target makes of them: as if it had AVX2's.
    geometry: Geometry { lanes: 8, registers: 16, mr: 6 },
    one_chain: [6 x (2 1) 4 x (2 1) 2 x (4 2 1) 1 x (8 4 2 1)],
    four_chains: [1 x (2 1)],
}
