//! placeholder
use super::Vector;
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    let t = x.mul(x.like(std::f32::consts::LOG2_E));
    let magic = x.like(12582912.0);
    let n = t.add(magic).sub(magic);
    let r = n.neg_mul_add(x.like(std::f32::consts::LN_2), x);
    let p = r
        .mul_add(x.like(1.0 / 120.0), x.like(1.0 / 24.0))
        .mul_add(r, x.like(1.0 / 6.0))
        .mul_add(r, x.like(0.5))
        .mul_add(r, x.like(1.0))
        .mul_add(r, x.like(1.0));
    p.mul(n.pow2())
}
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    let one = x.like(1.0);
    one.div(one.add(exp(x.like(0.0).sub(x))))
}
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let y = x.like(18.04).min(x.abs().mul(x.like(2.0)));
    let t = y.mul(x.like(std::f32::consts::LOG2_E));
    let magic = x.like(12582912.0);
    let n = t.add(magic).sub(magic);
    let r = n.neg_mul_add(x.like(std::f32::consts::LN_2), y);
    let q = r
        .mul_add(x.like(1.0 / 720.0), x.like(1.0 / 120.0))
        .mul_add(r, x.like(1.0 / 24.0))
        .mul_add(r, x.like(1.0 / 6.0))
        .mul_add(r, x.like(0.5));
    let p = r.mul(r).mul_add(q, r);
    let s = n.pow2();
    let e = s.mul_add(p, s.sub(x.like(1.0)));
    e.div(e.add(x.like(2.0))).or_sign(x)
}
