//! Schedules of earlier calls, kept with the memory that the calls work in.

use super::{Plan, Shape, Work};
use crate::error::Result;
use crate::kernel::Isa;
use crate::parallel::Threads;

/// Layers of other shapes than these are rare in one network; a network of more makes their schedules anew each time.
const KEPT: usize = 8;

/// What a schedule follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) shape: Shape,
    pub(crate) work: Work,
    pub(crate) threads: Threads,
    pub(crate) isa: Isa,
}

/// The last schedules that were made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plans {
    kept: [Option<(Request, Plan)>; KEPT],
    /// How many were made.
    made: usize,
}

impl Plans {
    /// The schedule for `request`: the one of an earlier call, or a new one in the place of the oldest.
    ///
    /// # Errors
    /// [`Error::Overflow`](crate::Error::Overflow) where such a sequence cannot be addressed.
    pub(crate) fn get(&mut self, request: Request) -> Result<Plan> {
        if let Some((_, plan)) = self.kept.iter().flatten().find(|(of, _)| *of == request) {
            return Ok(*plan);
        }
        let Request { shape, work, threads, isa } = request;
        shape.check()?;
        let plan = Plan::new(shape, work, threads, isa);
        self.kept[self.made % KEPT] = Some((request, plan));
        self.made += 1;
        Ok(plan)
    }

    /// How many schedules were made so far.
    #[cfg(test)]
    pub(crate) fn made(&self) -> usize {
        self.made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::cell::Cell;

    #[test]
    fn a_schedule_is_made_once_for_each_shape_work_number_of_threads_and_tier() {
        let shape = Shape { cell: Cell::Gru, input: 512, hidden: 512, projection: 0, batch: 1, steps: 50 };
        let threads = |n| Threads::new(n).unwrap();
        let first = Request { shape, work: Work::Infer, threads: threads(2), isa: Isa::Avx512 };
        let requests = [
            first,
            Request { shape: Shape { steps: 49, ..shape }, ..first },
            Request { work: Work::Train { d_input: false }, ..first },
            Request { threads: threads(1), ..first },
            Request { isa: Isa::Portable, ..first },
        ];
        let mut plans = Plans::default();
        for _ in 0..3 {
            for request in requests {
                let Request { shape, work, threads, isa } = request;
                assert_eq!(plans.get(request).unwrap(), Plan::new(shape, work, threads, isa));
            }
            assert_eq!(plans.made(), requests.len());
        }
    }

    #[test]
    fn more_shapes_than_are_kept_replace_the_oldest() {
        let request = |steps| Request {
            shape: Shape { cell: Cell::Gru, input: 3, hidden: 4, projection: 0, batch: 1, steps },
            work: Work::Infer,
            threads: Threads::one(),
            isa: Isa::Portable,
        };
        let mut plans = Plans::default();
        for steps in 0..=KEPT {
            plans.get(request(steps)).unwrap();
        }
        plans.get(request(1)).unwrap();
        assert_eq!(plans.made(), KEPT + 1, "the second is still there");
        plans.get(request(0)).unwrap();
        assert_eq!(plans.made(), KEPT + 2, "the first is not");
    }
}
