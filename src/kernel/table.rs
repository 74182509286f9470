//! What the tiers' files have in common: how a table of entry points is made out of the kernels' bodies.

/// Defines `TIER`, what the other floors know of a tier, and its entry points.
///
/// `on` is where there are such CPUs, `vector` the register type, `token` what proves the CPU can, `assumed` the same without asking, `features` what the
/// bodies are compiled with: no more than what the token's constructor asked for. The tiles are named by their rows and by
/// the registers of a row, the highest and the widest first.
macro_rules! kernel_table {
    (
        isa: $isa:ident,
        name: $name:literal,
        $(on: $on:meta,)?
        vector: $vector:ty,
        token: $token:expr,
        assumed: $assumed:expr,
        features: [$($feature:literal),*],
        geometry: $geometry:expr,
        one_chain: [$($rows:literal x ($($registers:literal)*))*],
        four_chains: [$($short_rows:literal x ($($short_registers:literal)*))*],
    ) => {
        use crate::kernel::Kernels;
        use crate::kernel::tier::{Geometry, Tier, TileWidths};

        const GEOMETRY: Geometry = $geometry;
        const _: () = {
            GEOMETRY.check(&[$(TileWidths { rows: $rows, registers: &[$($registers),*] }),*], 1);
            GEOMETRY.check(&[$(TileWidths { rows: $short_rows, registers: &[$($short_registers),*] }),*], 4);
        };

        pub(super) static TIER: Tier = Tier { name: $name, geometry: GEOMETRY, table };

        /// This tier's entry points, if the CPU has the instructions.
        $(#[cfg($on)])?
        fn table() -> Option<&'static Kernels> {
            entry::table()
        }

        $(
            #[cfg(not($on))]
            fn table() -> Option<&'static Kernels> {
                None
            }
        )?

        $(#[cfg($on)])?
        mod entry {
            use super::GEOMETRY;
            use crate::kernel::{Isa, Kernels, RecurrenceKernels};
            use crate::kernel::cell::{Elman, Gru, Lstm, Relu, Tanh};
            use crate::kernel::dots::{self, Dots};
            use crate::kernel::elementwise::{self, AdamStep, ColumnSums, SgdStep};
            use crate::kernel::fma;
            use crate::kernel::gemm::{self, Gemm, Outer};
            use crate::kernel::in_place::{self, RowsOuter, RowsProduct};
            use crate::kernel::layout::{PANEL, Place};
            use crate::kernel::pack;
            use crate::kernel::peak::{self, Peak};
            use crate::kernel::recurrence::{self, Backward, Forward};
            use crate::kernel::step::{self, Dense, Steps, rows};
            use crate::kernel::tier::Geometry;
            use crate::kernel::tile::{BlockLayout, Blocked, Fma, Tiles};
            use crate::simd::{HALF_LANES, Vector};

            pub(super) fn table() -> Option<&'static Kernels> {
                static TABLE: Kernels = Kernels {
                    isa: Isa::$isa,
                    gemm,
                    outer,
                    rows_product,
                    rows_outer,
                    recurrence: [
                        RecurrenceKernels {
                            forward: elman_tanh_forward,
                            backward: elman_tanh_backward,
                            steps: elman_tanh_steps,
                            row_steps: elman_tanh_row_steps,
                        },
                        RecurrenceKernels {
                            forward: elman_relu_forward,
                            backward: elman_relu_backward,
                            steps: elman_relu_steps,
                            row_steps: elman_relu_row_steps,
                        },
                        RecurrenceKernels {
                            forward: gru_forward,
                            backward: gru_backward,
                            steps: gru_steps,
                            row_steps: gru_row_steps,
                        },
                        RecurrenceKernels {
                            forward: lstm_forward,
                            backward: lstm_backward,
                            steps: lstm_steps,
                            row_steps: lstm_row_steps,
                        },
                    ],
                    dense,
                    dots,
                    column_sums,
                    pack_row,
                    pack_columns,
                    adam,
                    sgd,
                    peak,
                    read,
                    tanh,
                    sigmoid,
                    exp,
                };
                $token.map(|_| &TABLE)
            }

            crate::kernel::table::kernel_table! {
                @entries $vector, $assumed, [$($feature),*],
                gemm(args: Gemm<'_>) = gemm::gemm,
                outer(args: Outer<'_>) = gemm::outer,
                rows_product(args: RowsProduct<'_>) = in_place::rows_product,
                rows_outer(args: RowsOuter<'_>) = in_place::rows_outer,
                elman_tanh_forward(args: Forward<'_, '_>) = recurrence::forward[Elman<Tanh>],
                elman_tanh_backward(args: Backward<'_, '_>) = recurrence::backward[Elman<Tanh>],
                elman_tanh_steps(args: Steps<'_>) = step::steps[Elman<Tanh>],
                elman_tanh_row_steps(args: Steps<'_>) = rows::row_steps[Elman<Tanh>],
                elman_relu_forward(args: Forward<'_, '_>) = recurrence::forward[Elman<Relu>],
                elman_relu_backward(args: Backward<'_, '_>) = recurrence::backward[Elman<Relu>],
                elman_relu_steps(args: Steps<'_>) = step::steps[Elman<Relu>],
                elman_relu_row_steps(args: Steps<'_>) = rows::row_steps[Elman<Relu>],
                gru_forward(args: Forward<'_, '_>) = recurrence::forward[Gru],
                gru_backward(args: Backward<'_, '_>) = recurrence::backward[Gru],
                gru_steps(args: Steps<'_>) = step::steps[Gru],
                gru_row_steps(args: Steps<'_>) = rows::row_steps[Gru],
                lstm_forward(args: Forward<'_, '_>) = recurrence::forward[Lstm],
                lstm_backward(args: Backward<'_, '_>) = recurrence::backward[Lstm],
                lstm_steps(args: Steps<'_>) = step::steps[Lstm],
                lstm_row_steps(args: Steps<'_>) = rows::row_steps[Lstm],
                dense(args: Dense<'_>) = step::dense,
                dots(args: Dots<'_>) = dots::dots,
                column_sums(args: ColumnSums<'_>) = elementwise::column_sums,
                pack_row(group: &mut [f32], place: Place, row: &[f32]) = pack::pack_row,
                pack_columns(a: &mut [f32], depth: usize, k: usize, row: &[f32]) = pack::pack_columns,
                adam(args: AdamStep<'_>) = elementwise::adam,
                sgd(args: SgdStep<'_>) = elementwise::sgd,
                peak(args: Peak<'_>) = peak::peak,
                read(from: &[f32], sum: &mut f32) = peak::read,
                tanh(x: &mut [f32]) = elementwise::tanh,
                sigmoid(x: &mut [f32]) = elementwise::sigmoid,
                exp(x: &mut [f32]) = elementwise::exp,
                blocked(args: Fma<'_, $vector>) = fma::blocked,
                blocked_short(args: Fma<'_, $vector>) = fma::blocked_short,
                k_major(args: Fma<'_, $vector>) = fma::k_major,
            }

            const _: () = {
                let lanes = <$vector as Vector>::LANES;
                assert!(GEOMETRY.lanes == lanes && lanes >= HALF_LANES && PANEL.is_multiple_of(lanes));
            };

            impl Tiles for $vector {
                const GEOMETRY: Geometry = GEOMETRY;

                #[inline(always)]
                fn registers(rows: usize, left: usize) -> usize {
                    $(if rows == $rows {
                        $(if left >= $registers {
                            return $registers;
                        })*
                    })*
                    1
                }

                #[inline(always)]
                fn short_registers(rows: usize, left: usize) -> usize {
                    $(if rows == $short_rows {
                        $(if left >= $short_registers {
                            return $short_registers;
                        })*
                    })*
                    1
                }

                #[inline(always)]
                fn short_rows(size: usize) -> usize {
                    $(if size >= $short_rows {
                        return $short_rows;
                    })*
                    1
                }

                #[inline(always)]
                fn blocked(args: Fma<'_, Self>) {
                    blocked(args);
                }

                #[inline(always)]
                fn blocked_short(args: Fma<'_, Self>) {
                    blocked_short(args);
                }

                #[inline(always)]
                fn k_major(args: Fma<'_, Self>) {
                    k_major(args);
                }

                #[inline(always)]
                fn one_chain<O: BlockLayout>(isa: Self::Isa, args: Fma<'_, Self>) {
                    match args.shape {
                        $($(($rows, $registers) => fma::shaped::<Self, O, $rows, $registers, 1>(isa, args),)*)*
                        (rows, registers) => unreachable!("tiles of {rows} rows by {registers} registers"),
                    }
                }

                #[inline(always)]
                fn four_chains(isa: Self::Isa, args: Fma<'_, Self>) {
                    match args.shape {
                        $($(($short_rows, $short_registers) => {
                            fma::shaped::<Self, Blocked, $short_rows, $short_registers, 4>(isa, args);
                        })*)*
                        (rows, registers) => unreachable!("tiles of {rows} rows by {registers} registers"),
                    }
                }
            }
        }
    };
    (
        @entries $vector:ty, $assumed:expr, $features:tt,
        $($name:ident($($arg:ident: $of:ty),*) = $module:ident::$body:ident $([$cell:ty])?,)*
    ) => {
        $(crate::kernel::table::kernel_table! {
            @entry $vector, $assumed, $features, $name($($arg: $of),*) = $module::$body $([$cell])?
        })*
    };
    (
        @entry $vector:ty, $assumed:expr, [$($feature:literal),*],
        $name:ident($($arg:ident: $of:ty),*) = $module:ident::$body:ident $([$cell:ty])?
    ) => {
        fn $name($($arg: $of),*) {
            $(#[target_feature(enable = $feature)])*
            fn compiled($($arg: $of),*) {
                // The token is made again rather than handed through the table, and without asking: a step of a small
                // layer takes as long as a few questions.
                $module::$body::<$vector $(, $cell)?>($assumed, $($arg),*);
            }
            // SAFETY: of the call and of the token that it makes. This function is reached only by way of the table, and
            // `table` hands that out only where the token's constructor found every feature named here; or by way of
            // `Tiles`, whose arguments hold values of the vector type, and none can be made without the token.
            #[allow(unused_unsafe, reason = "a tier without features of its own is safe to call")]
            unsafe {
                compiled($($arg),*);
            }
        }
    };
}

pub(super) use kernel_table;
