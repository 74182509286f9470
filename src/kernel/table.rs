//! What the tiers' files have in common: how a table of entry points is made out of the kernels' bodies.

/// Defines `table()`: the [`Kernels`](super::Kernels) of one tier, or `None` where the token's constructor says that
/// the CPU lacks it.
///
/// `vector` is the register type, `token` what proves the CPU can (bound to the name given), `features` what the
/// bodies are compiled with: no more than what the token's constructor asked for.
macro_rules! kernel_table {
    (
        isa: $isa:ident,
        vector: $vector:ty,
        token: $token:expr,
        features: [$($feature:literal),*],
    ) => {
        use super::{Isa, Kernels, RecurrenceKernels};
        use super::cell::{Elman, Gru, Lstm, Relu, Tanh};
        use super::elementwise::{self, AdamStep, ColumnSums, SgdStep};
        use super::gemm::{self, Gemm, Outer};
        use super::peak::{self, Peak};
        use super::recurrence::{self, Backward, Forward};
        use super::step::{self, Dense, Steps};
        use super::layout::{self, Place};
        use super::tile::{self, Fma, Tiles};

        /// This tier's entry points, if the CPU has the instructions.
        pub(super) fn table() -> Option<&'static Kernels> {
            static TABLE: Kernels = Kernels {
                isa: Isa::$isa,
                gemm: entry::gemm,
                outer: entry::outer,
                recurrence: [
                    RecurrenceKernels {
                        forward: entry::elman_tanh_forward,
                        backward: entry::elman_tanh_backward,
                        steps: entry::elman_tanh_steps,
                    },
                    RecurrenceKernels {
                        forward: entry::elman_relu_forward,
                        backward: entry::elman_relu_backward,
                        steps: entry::elman_relu_steps,
                    },
                    RecurrenceKernels {
                        forward: entry::gru_forward,
                        backward: entry::gru_backward,
                        steps: entry::gru_steps,
                    },
                    RecurrenceKernels {
                        forward: entry::lstm_forward,
                        backward: entry::lstm_backward,
                        steps: entry::lstm_steps,
                    },
                ],
                dense: entry::dense,
                column_sums: entry::column_sums,
                pack_row: entry::pack_row,
                adam: entry::adam,
                sgd: entry::sgd,
                peak: entry::peak,
                read: entry::read,
                tanh: entry::tanh,
                sigmoid: entry::sigmoid,
                exp: entry::exp,
            };
            $token.map(|_| &TABLE)
        }

        crate::kernel::table::kernel_table! {
            @entries $vector, $token, [$($feature),*],
            gemm(args: Gemm<'_>) = gemm::gemm,
            outer(args: Outer<'_>) = gemm::outer,
            elman_tanh_forward(args: Forward<'_, '_>) = recurrence::forward[Elman<Tanh>],
            elman_tanh_backward(args: Backward<'_, '_>) = recurrence::backward[Elman<Tanh>],
            elman_tanh_steps(args: Steps<'_>) = step::steps[Elman<Tanh>],
            elman_relu_forward(args: Forward<'_, '_>) = recurrence::forward[Elman<Relu>],
            elman_relu_backward(args: Backward<'_, '_>) = recurrence::backward[Elman<Relu>],
            elman_relu_steps(args: Steps<'_>) = step::steps[Elman<Relu>],
            gru_forward(args: Forward<'_, '_>) = recurrence::forward[Gru],
            gru_backward(args: Backward<'_, '_>) = recurrence::backward[Gru],
            gru_steps(args: Steps<'_>) = step::steps[Gru],
            lstm_forward(args: Forward<'_, '_>) = recurrence::forward[Lstm],
            lstm_backward(args: Backward<'_, '_>) = recurrence::backward[Lstm],
            lstm_steps(args: Steps<'_>) = step::steps[Lstm],
            dense(args: Dense<'_>) = step::dense,
            column_sums(args: ColumnSums<'_>) = elementwise::column_sums,
            pack_row(group: &mut [f32], place: Place, row: &[f32]) = layout::pack_row,
            adam(args: AdamStep<'_>) = elementwise::adam,
            sgd(args: SgdStep<'_>) = elementwise::sgd,
            peak(args: Peak<'_>) = peak::peak,
            read(from: &[f32], sum: &mut f32) = peak::read,
            tanh(x: &mut [f32]) = elementwise::tanh,
            sigmoid(x: &mut [f32]) = elementwise::sigmoid,
            exp(x: &mut [f32]) = elementwise::exp,
            blocked(args: Fma<'_, $vector>) = tile::blocked,
            blocked_short(args: Fma<'_, $vector>) = tile::blocked_short,
            k_major(args: Fma<'_, $vector>) = tile::k_major,
        }

        impl Tiles for $vector {
            #[inline(always)]
            fn blocked(args: Fma<'_, Self>) {
                entry::blocked(args);
            }

            #[inline(always)]
            fn blocked_short(args: Fma<'_, Self>) {
                entry::blocked_short(args);
            }

            #[inline(always)]
            fn k_major(args: Fma<'_, Self>) {
                entry::k_major(args);
            }
        }
    };
    (
        @entries $vector:ty, $token:expr, $features:tt,
        $($name:ident($($arg:ident: $of:ty),*) = $module:ident::$body:ident $([$cell:ty])?,)*
    ) => {
        mod entry {
            use super::*;
            $(crate::kernel::table::kernel_table! { @entry $vector, $token, $features, $name($($arg: $of),*) = $module::$body $([$cell])? })*
        }
    };
    (
        @entry $vector:ty, $token:expr, [$($feature:literal),*],
        $name:ident($($arg:ident: $of:ty),*) = $module:ident::$body:ident $([$cell:ty])?
    ) => {
        pub(super) fn $name($($arg: $of),*) {
            $(#[target_feature(enable = $feature)])*
            fn compiled($($arg: $of),*) {
                // The token is made again rather than handed through the table; the answer is a cached bit test.
                if let Some(isa) = $token {
                    $module::$body::<$vector $(, $cell)?>(isa, $($arg),*);
                }
            }
            // SAFETY: this function is reached only by way of the table, and `table` hands that out only where the
            // token's constructor found every feature named here; or by way of `Tiles`, whose arguments hold values of
            // the vector type, and none can be made without the token.
            #[allow(unused_unsafe, reason = "a tier without features of its own is safe to call")]
            unsafe {
                compiled($($arg),*);
            }
        }
    };
}

pub(super) use kernel_table;
