//! The AVX2 tier: its registers, its tiles, and the bodies, instantiated.
#![allow(unsafe_code)]

super::table::kernel_table! {
    isa: Avx2,
    name: "avx2",
    on: target_arch = "x86_64",
    vector: crate::simd::avx2::F32x8,
    token: crate::simd::avx2::Avx2::new(),
    // SAFETY: stands in the table's entries, which say why.
    assumed: unsafe { crate::simd::avx2::Avx2::assume() },
    features: ["avx2", "fma"],
    geometry: Geometry { lanes: 8, registers: 16, mr: 6 },
    // The largest takes 12 registers for its accumulators, 2 for B and 1 for A.
    one_chain: [6 x (2 1) 4 x (2 1) 2 x (4 2 1) 1 x (8 4 2 1)],
    four_chains: [1 x (2 1)],
}
