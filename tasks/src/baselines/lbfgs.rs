//! The least value of a smooth convex function, by the limited-memory method of Broyden, Fletcher, Goldfarb and Shanno.

use std::collections::VecDeque;

/// Steps that the curvature is told from; more are rarely better (Nocedal and Wright 2006 name 3 to 20).
const MEMORY: usize = 10;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// y += factor * x.
fn add(y: &mut [f64], factor: f64, x: &[f64]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
}

/// A step, the change of the gradient over it, and one over their product.
struct Curvature {
    s: Vec<f64>,
    y: Vec<f64>,
    rho: f64,
}

/// Minus the gradient times the inverse curvature, as far as it is known.
fn direction(gradient: &[f64], memory: &VecDeque<Curvature>) -> Vec<f64> {
    let mut d: Vec<f64> = gradient.iter().map(|g| -g).collect();
    let mut alphas = Vec::with_capacity(memory.len());
    for Curvature { s, y, rho } in memory.iter().rev() {
        let alpha = rho * dot(s, &d);
        add(&mut d, -alpha, y);
        alphas.push(alpha);
    }
    if let Some(Curvature { y, rho, .. }) = memory.back() {
        let scale = 1.0 / (rho * dot(y, y));
        d.iter_mut().for_each(|d| *d *= scale);
    }
    for (Curvature { s, y, rho }, alpha) in memory.iter().zip(alphas.into_iter().rev()) {
        let beta = rho * dot(y, &d);
        add(&mut d, alpha - beta, s);
    }
    d
}

/// Goes down from `w` until no element of the gradient is larger than `tolerance`, or `iterations` steps are done.
/// `function` returns its value, and writes its gradient over what is there.
pub(super) fn minimize(
    w: &mut Vec<f64>,
    tolerance: f64,
    iterations: usize,
    mut function: impl FnMut(&[f64], &mut [f64]) -> f64,
) {
    let mut gradient = vec![0.0; w.len()];
    let mut value = function(w, &mut gradient);
    let (mut next, mut next_gradient) = (w.clone(), gradient.clone());
    let mut memory: VecDeque<Curvature> = VecDeque::new();
    for _ in 0..iterations {
        if gradient.iter().all(|g| g.abs() <= tolerance) {
            return;
        }
        let d = direction(&gradient, &memory);
        let slope = dot(&d, &gradient);
        // The first step has no curvature to be measured by: it is of length 1 at most.
        let mut step = if memory.is_empty() { 1.0_f64.min(1.0 / dot(&gradient, &gradient).sqrt()) } else { 1.0 };
        // Armijo's condition; in a convex function what meets it also has positive curvature.
        let found = loop {
            next.copy_from_slice(w);
            add(&mut next, step, &d);
            let new = function(&next, &mut next_gradient);
            if new <= value + 1e-4 * step * slope {
                break Some(new);
            }
            step *= 0.5;
            if step < 1e-12 {
                break None;
            }
        };
        // No lower value within rounding: this is the least.
        let Some(new) = found else { return };
        let s: Vec<f64> = next.iter().zip(&*w).map(|(a, b)| a - b).collect();
        let y: Vec<f64> = next_gradient.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        let product = dot(&s, &y);
        if product > 1e-12 * dot(&y, &y) {
            if memory.len() == MEMORY {
                memory.pop_front();
            }
            memory.push_back(Curvature { s, y, rho: 1.0 / product });
        }
        std::mem::swap(w, &mut next);
        std::mem::swap(&mut gradient, &mut next_gradient);
        value = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_bowl_is_gone_down() {
        let scales = [1.0, 100.0, 1e4];
        let mut w = vec![3.0, -2.0, 1.0];
        minimize(&mut w, 1e-9, 200, |w, g| {
            let parts = w.iter().zip(&scales).zip(g.iter_mut());
            parts
                .map(|((x, scale), g)| {
                    *g = scale * (x - 1.0);
                    0.5 * scale * (x - 1.0).powi(2)
                })
                .sum()
        });
        assert!(w.iter().all(|x| (x - 1.0).abs() < 1e-8), "{w:?}");
    }
}
