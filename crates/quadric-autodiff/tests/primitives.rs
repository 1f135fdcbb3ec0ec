//! Every primitive and every function built from them: all transforms, all checks.

mod common;

use common::{Case, check};
use quadric_autodiff::{Padding, Windows};

macro_rules! cases {
    ($($name:ident: [$($shape:expr, $low:expr, $high:expr);* $(;)?], |$t:pat_param, $x:pat_param| $body:expr;)*) => {
        const CASES: &[Case] = &[$(Case {
            name: stringify!($name),
            inputs: &[$((&$shape, $low, $high)),*],
            body: |$t, $x| $body,
        }),*];
    };
}

const STRIDED: Windows = Windows {
    strides: [2, 1],
    dilation: [1, 2],
    padding: Padding::Zeros([1, 0], [0, 1]),
    groups: 1,
};

cases! {
    neg: [[3], -1.0, 1.0], |_, x| vec![-x[0]];
    abs: [[4], -1.0, 1.0], |_, x| vec![x[0].abs()];
    sign: [[3], -1.0, 1.0], |_, x| vec![x[0].sign() * x[0]];
    floor: [[3], 0.1, 0.9], |_, x| vec![(x[0] - 1.0).floor() * x[0]];
    exp: [[3], -1.0, 1.0], |_, x| vec![x[0].exp()];
    log: [[3], 0.3, 2.0], |_, x| vec![x[0].log()];
    log1p: [[3], -0.3, 2.0], |_, x| vec![x[0].log1p()];
    sqrt: [[3], 0.3, 2.0], |_, x| vec![x[0].sqrt()];
    sin: [[3], -2.0, 2.0], |_, x| vec![x[0].sin()];
    cos: [[3], -2.0, 2.0], |_, x| vec![x[0].cos()];
    atan: [[3], -2.0, 2.0], |_, x| vec![x[0].atan()];
    tanh: [[3], -1.0, 1.0], |_, x| vec![x[0].tanh()];
    sigmoid: [[3], -2.0, 2.0], |_, x| vec![x[0].sigmoid()];
    softplus: [[3], -2.0, 2.0], |_, x| vec![x[0].softplus()];
    erf: [[3], -1.0, 1.0], |_, x| vec![x[0].erf()];
    powf: [[3], 0.3, 2.0], |_, x| vec![x[0].powf(-1.5), x[0].powf(1.0), x[0].powf(0.0), x[0].powf(2.0)];
    detach: [[3], 0.3, 2.0], |_, x| vec![x[0] * x[0].sign().detach()];
    add: [[2, 3], -1.0, 1.0; [3], -1.0, 1.0], |_, x| vec![x[0] + x[1], x[1] + 2.0];
    sub: [[2, 3], -1.0, 1.0; [2, 1], -1.0, 1.0], |_, x| vec![x[0] - x[1], 1.0 - x[1]];
    mul: [[2, 3], -1.0, 1.0; [3], -1.0, 1.0], |_, x| vec![x[0] * x[1], x[1] * x[1] * 3.0];
    div: [[2, 3], -1.0, 1.0; [3], 0.5, 1.5], |_, x| vec![x[0] / x[1], 1.0 / x[1]];
    maximum: [[5], -1.0, 1.0; [5], -1.0, 1.0], |_, x| vec![x[0].maximum(x[1]) * x[0]];
    minimum: [[5], -1.0, 1.0; [5], -1.0, 1.0], |_, x| vec![x[0].minimum(x[1]) * x[0]];
    select: [[5], -1.0, 1.0; [5], -1.0, 1.0], |_, x| vec![x[0].less(x[1]).select(x[0].exp(), x[1].square())];
    comparisons: [[5], -1.0, 1.0; [5], -1.0, 1.0], |_, x| vec![x[0].less_equal(x[1]) * x[0] + x[0].equal(x[0]) * x[1]];
    relu: [[6], -1.0, 1.0], |_, x| vec![x[0].relu() * x[0]];
    gelu: [[4], -2.0, 2.0], |_, x| vec![x[0].gelu(), x[0].gelu_tanh()];
    silu: [[4], -2.0, 2.0], |_, x| vec![x[0].silu()];
    broadcast: [[2, 1], -1.0, 1.0], |_, x| vec![x[0].exp().broadcast_to([3, 2, 4])];
    reshape: [[2, 3], -1.0, 1.0], |_, x| vec![x[0].sin().reshape([3, 2]), x[0].expand(-1).exp()];
    permute: [[2, 3, 2], -1.0, 1.0], |_, x| vec![x[0].sin().permute(&[2, 0, 1]), x[0].transpose().exp()];
    slice: [[4, 5], -1.0, 1.0], |_, x| vec![x[0].sin().slice(1, 1..3), x[0].exp().slice_steps(0, 1, 2, 2)];
    pad: [[2, 3], -1.0, 1.0], |_, x| vec![x[0].sin().pad(-1, 1, 2).exp()];
    concat: [[2, 3], -1.0, 1.0; [2, 2], -1.0, 1.0], |_, x| vec![x[0].concat(&[x[1], x[0]], 1).sin()];
    reverse: [[2, 3], -1.0, 1.0], |_, x| vec![x[0].reverse(&[1]).sin() * x[0]];
    sum: [[2, 3, 2], -1.0, 1.0], |_, x| vec![x[0].sum(&[0, -1]).exp(), x[0].mean(&[1]).sin(), x[0].mean_all()];
    max_along: [[3, 4], -1.0, 1.0], |_, x| vec![x[0].max(&[1]).exp()];
    cumulative_sum: [[3, 4], -0.5, 0.5], |_, x| vec![x[0].cumulative_sum(0).sin(), x[0].cumulative_sum(1).exp()];
    matmul: [[2, 3], -1.0, 1.0; [3, 4], -1.0, 1.0], |_, x| vec![x[0].matmul(x[1]).tanh()];
    matmul_batches: [[2, 1, 2, 3], -1.0, 1.0; [2, 3, 2], -1.0, 1.0; [3, 2], -1.0, 1.0],
        |_, x| vec![x[0].matmul(x[1]).tanh(), x[0].matmul(x[2])];
    matmul_repeated: [[1, 3], -1.0, 1.0; [3, 2], -1.0, 1.0],
        |_, x| vec![x[0].broadcast_to([4, 1, 3]).matmul(x[1].broadcast_to([4, 3, 2])).tanh()];
    matmul_columns_as_rows: [[3, 4], -1.0, 1.0; [3, 2], -1.0, 1.0],
        |_, x| vec![x[0].transpose().reshape([4, 1, 3]).matmul(x[1].broadcast_to([4, 3, 2])).tanh()];
    gram: [[3, 2], -1.0, 1.0], |_, x| vec![x[0].transpose().matmul(x[0])];
    softmax: [[2, 4], -1.0, 1.0], |_, x| vec![x[0].softmax(-1), x[0].log_softmax(0), x[0].log_sum_exp(1)];
    cross_entropy: [[3, 4], -1.0, 1.0], |t, x| vec![x[0].cross_entropy(t.index_constant(&[1, 3, 0], [3]))];
    normalize: [[3, 4], -1.0, 1.0], |_, x| vec![x[0].normalize(&[-1], 1e-2), x[0].normalize(&[0], 1e-2)];
    gather: [[4, 2], -1.0, 1.0], |t, x| vec![x[0].sin().gather(t.index_constant(&[1, 3, 1], [3]))];
    gather_columns: [[2, 4, 3], -1.0, 1.0], |t, x| {
        let i = t.index_constant(&[2, 0, 1, 1, 2, 2], [2, 3]);
        let rows = x[0].sin().permute(&[2, 1, 0]);
        vec![rows.gather(i.transpose()), rows.gather(i.slice(1, 1..3)).sum(&[0, 1]).exp()]
    };
    gather_numbers: [[4], -1.0, 1.0], |t, x| {
        let i = t.index_constant(&[3, 0, 3, 3], [2, 2]);
        vec![x[0].exp().gather(i), x[0].gather(i.concat(&[i.reverse(&[0])], 1)).square()]
    };
    comparisons_of_indices: [[2, 3], -1.0, 1.0], |t, x| {
        let (i, j) = (t.index_constant(&[2, 0, 1], [3]), t.iota([2, 3]));
        let rows = i.broadcast_to([2, 3]);
        vec![rows.less(j) * x[0] + rows.equal(j) + i.to_float() * x[0].exp(), j.transpose().less_equal(rows.transpose())]
    };
    random: [[2, 3], -1.0, 1.0], |t, x| vec![x[0] * t.random(t.index_constant(&[7, -1], [2]), [2, 3])];
    normal: [[7], -1.0, 1.0], |t, x| vec![(x[0] + t.normal(t.index_constant(&[7, 3], [2]), [7])).sin()];
    dropout: [[3, 4], -1.0, 1.0], |t, x| {
        let key = t.index_constant(&[7, 2], [2]);
        vec![x[0].tanh().dropout(0.5, key).exp(), x[0].dropout(0.0, key)]
    };
    dropout_in_scans: [[2], -1.0, 1.0; [3, 2], -1.0, 1.0], |t, x| {
        let (same, keys) = (t.index_constant(&[5, 0], [2]), t.index_constant(&[1, 2, 3, 4, 5, 6], [3, 2]));
        let (last, _) = t.scan(&[x[0]], &[x[1], keys], |h, s| {
            (vec![(h[0].dropout(0.5, same) + s[0].dropout(0.3, s[1])).tanh()], vec![])
        });
        vec![last[0]]
    };
    conv2d: [[2, 3, 4, 2], -1.0, 1.0; [2, 2, 2, 3], -1.0, 1.0],
        |_, x| vec![x[0].conv2d(x[1], Windows { padding: Padding::Same, ..Windows::default() }).tanh()];
    conv2d_strided: [[1, 4, 5, 1], -1.0, 1.0; [2, 2, 1, 2], -1.0, 1.0], |_, x| vec![x[0].conv2d(x[1], STRIDED).tanh()];
    conv2d_groups: [[1, 3, 3, 4], -1.0, 1.0; [2, 2, 2, 2], -1.0, 1.0],
        |_, x| vec![x[0].conv2d(x[1], Windows { groups: 2, ..Windows::default() }).tanh()];
    max_pool: [[1, 4, 4, 2], -1.0, 1.0],
        |_, x| vec![x[0].sin().max_pool([3, 2], Windows { padding: Padding::Same, strides: [2, 2], ..Windows::default() })];
    avg_pool: [[1, 4, 4, 2], -1.0, 1.0],
        |_, x| vec![x[0].exp().avg_pool([2, 2], Windows { strides: [2, 2], ..Windows::default() })];
    scan: [[2], -1.0, 1.0; [3, 2], -1.0, 1.0; [2, 2], -1.0, 1.0], |_, x| {
        let w = x[2];
        let (last, stacks) = x[0].tracer().scan(&[x[0]], &[x[1]], |h, s| {
            let next = (h[0].expand(0).matmul(w).reshape([2]) + s[0]).tanh();
            (vec![next], vec![next * s[0]])
        });
        vec![last[0], stacks[0]]
    };
    scan_two_carries: [[2], -1.0, 1.0; [3, 2], 0.5, 1.0], |_, x| {
        let (last, stacks) = x[0].tracer().scan(&[x[0], x[0].exp()], &[x[1]], |h, s| {
            (vec![h[1].sin(), h[0] * s[0]], vec![h[0].square()])
        });
        vec![last[0] * last[1], stacks[0]]
    };
    scan_without_tangents: [[3, 2], 0.3, 1.0], |_, x| {
        let (_, stacks) = x[0].tracer().scan(&[], &[x[0]], |_, s| (vec![], vec![s[0].sign() + 0.5]));
        vec![stacks[0] * x[0]]
    };
    scan_without_carries: [[2, 2], -1.0, 1.0], |t, x| {
        let (w, rows) = (x[0], t.constant(&[0.3, -0.7, 0.9, 0.2, -0.4, 0.6], [3, 2]));
        let (_, stacks) = t.scan(&[], &[rows], |_, s| (vec![], vec![s[0].expand(0).matmul(w)]));
        vec![stacks[0].sin()]
    };
    nested_scan: [[2], -0.5, 0.5; [2, 2], -0.5, 0.5; [2, 2], -0.5, 0.5], |_, x| {
        let inner = x[2];
        let (last, _) = x[0].tracer().scan(&[x[0]], &[x[1]], |h, s| {
            let start = h[0];
            let (deep, _) = start.tracer().scan(&[start * s[0]], &[inner], |d, u| (vec![(d[0] + u[0] * start).sin()], vec![]));
            (vec![deep[0] + s[0]], vec![])
        });
        vec![last[0]]
    };
}

#[test]
fn all_transforms_of_all_primitives() {
    for case in CASES {
        println!("{}", case.name);
        for seed in 1..=3 {
            check(case, seed);
        }
    }
}
