//! The roofs: nothing but fused multiply-adds, and nothing but loads.

use super::layout::PANEL;
use crate::simd::Vector;

/// Chains side by side: 2 FMAs a cycle of 4 cycles' latency need 8, and 12 fit the 16 registers that AVX2 has.
const CHAINS: usize = 12;

/// Runs `rounds` rounds of FMAs in registers.
pub(crate) struct Peak<'a> {
    pub(crate) rounds: usize,
    /// Receives the number of floating-point operations, and what the chains came to, so that they are computed.
    pub(crate) done: &'a mut (f64, f32),
}

/// [`CHAINS`] independent multiply-adds in registers, `rounds` times over: what measures the FMA peak.
#[inline(always)]
pub(super) fn peak<V: Vector>(isa: V::Isa, args: Peak<'_>) {
    let mut acc = [V::splat(isa, 1.0); CHAINS];
    // Converges to 0.5: neither overflow nor denormals.
    let (factor, term) = (V::splat(isa, 0.5), V::splat(isa, 0.25));
    for _ in 0..args.rounds {
        for acc in &mut acc {
            *acc = acc.mul_add(factor, term);
        }
    }
    let mut sum = acc[0];
    for acc in &acc[1..] {
        sum = sum.add(*acc);
    }
    let mut lanes = [0.0; PANEL];
    sum.store(&mut lanes);
    *args.done = ((2 * V::LANES * CHAINS * args.rounds) as f64, lanes[0]);
}

/// Loads every element (of whole blocks of 8 registers) and adds them up, lane by lane; gives the first lane.
#[inline(always)]
pub(super) fn read<V: Vector>(isa: V::Isa, from: &[f32], sum: &mut f32) {
    let mut acc = [V::splat(isa, 0.0); 8];
    for block in from.chunks_exact(8 * V::LANES) {
        for (v, acc) in acc.iter_mut().enumerate() {
            *acc = acc.add(V::load(isa, &block[v * V::LANES..]));
        }
    }
    let mut all = acc[0];
    for acc in &acc[1..] {
        all = all.add(*acc);
    }
    let mut lanes = [0.0; PANEL];
    all.store(&mut lanes);
    *sum = lanes[0];
}
