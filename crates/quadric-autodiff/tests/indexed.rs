//! Steps that read by index or run along an axis, at sizes that are cut in pieces: against plain evaluation, with any number of
//! threads, in views of every kind; and indices that name no row.

use quadric_autodiff::{Array, Data, Executable, Kind, Padding, Program, Tensor, Tracer, Windows};
use quadric_linalg::random::SeedTree;
use quadric_linalg::{ErrorKind, Scalar};

/// Numbers for floats, and indices below 30.
fn inputs<T: Scalar>(program: &Program, seed: u64) -> Vec<Array<T>> {
    let all = program.inputs().iter().enumerate();
    all.map(|(i, input)| {
        let t = program.input_type(i);
        let mut s = SeedTree::new(seed).child(input.name()).stream(0);
        match t.kind {
            Kind::Float => Array::Float((0..t.len()).map(|_| T::of(s.normal())).collect()),
            Kind::Index => Array::Index((0..t.len()).map(|_| s.below(30) as i32).collect()),
        }
    })
    .collect()
}

fn run<T: Scalar>(program: &Program, inputs: &[Array<T>], threads: usize) -> Vec<Vec<T>> {
    let given: Vec<Data<'_, T>> = inputs.iter().map(Array::data).collect();
    let sizes = (0..program.outputs()).map(|i| program.output_type(i).len());
    let mut out: Vec<Vec<T>> = sizes.map(|n| vec![T::of(f64::NAN); n]).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads").install(|| {
        let mut slots: Vec<&mut [T]> = out.iter_mut().map(Vec::as_mut_slice).collect();
        let mut compiled = Executable::new(program).expect("real outputs");
        compiled.run(&given, &mut slots).expect("inputs fit");
        // Nothing is left from the run before.
        slots.iter_mut().for_each(|s| s.fill(T::of(f64::NAN)));
        compiled.run(&given, &mut slots).expect("inputs fit");
    });
    out
}

fn check<T: Scalar>(program: &Program, seed: u64, tolerance: f64) {
    let given = inputs::<T>(program, seed);
    let data: Vec<Data<'_, T>> = given.iter().map(Array::data).collect();
    let plain = program.run(&data).expect("inputs fit");
    let one = run(program, &given, 1);
    for (i, (found, expected)) in one.iter().zip(&plain).enumerate() {
        let expected = expected.floats();
        assert_eq!(found.len(), expected.len());
        let most = expected
            .iter()
            .fold(1.0, |m: f64, v| m.max(v.to_f64().abs()));
        for (a, b) in found.iter().zip(expected) {
            let (a, b) = (a.to_f64(), b.to_f64());
            let close = (a - b).abs() <= tolerance * most || a.is_nan() && b.is_nan();
            assert!(close, "output {i}, seed {seed}: {a} is not {b}");
        }
    }
    let bits = |all: Vec<Vec<T>>| -> Vec<u64> {
        let entries = all.iter().flatten();
        entries.map(|v| v.to_f64().to_bits()).collect()
    };
    let one = bits(one);
    for threads in [2, 3, 8] {
        let found = bits(run(program, &given, threads));
        assert!(one == found, "{threads} threads");
    }
}

/// Outputs, gradients of their sum with weights, and a batch of these.
fn check_all(f: fn(&Tracer) -> Vec<Tensor<'_>>) {
    let values = Program::trace(f).expect("shapes fit");
    let loss = Program::trace(|t| {
        let parts = f(t).into_iter().map(|o| (o.tanh() * o).sum_all());
        vec![parts.reduce(|a, b| a + b).expect("an output")]
    });
    let loss = loss.expect("shapes fit");
    let names: Vec<&str> = (0..loss.inputs().len())
        .filter(|&i| loss.input_type(i).kind == Kind::Float)
        .map(|i| loss.inputs()[i].name())
        .collect();
    let gradient = loss.grad(&names).expect("a number");
    let wide = gradient.batch(&names, 2).expect("inputs");
    for program in [values, gradient, wide] {
        check::<f64>(&program, 1, 1e-12);
        check::<f32>(&program, 2, 1e-4);
    }
}

#[test]
fn rows_by_number() {
    check_all(|t| {
        let (table, i) = (t.input("table", [30, 7]), t.index_input("i", [70, 90]));
        let numbers = t.input("numbers", [30]);
        let columns = t.input("columns", [5, 30]);
        vec![
            table.gather(i),
            table.sin().gather(i.transpose()),
            numbers.gather(i),
            columns.transpose().gather(i.slice(1, 3..80)),
            table
                .slice(1, 2..6)
                .reverse(&[1])
                .gather(i.slice_steps(0, 1, 9, 7)),
        ]
    });
}

/// Many lists of numbers of rows at once, with one table or with one for each.
#[test]
fn batches_of_indices() {
    let one = Program::trace(|t| {
        let (table, i) = (t.input("table", [30, 3]), t.index_input("i", [4]));
        let scaled = table.sin().gather(i) * i.to_float().expand(-1);
        vec![scaled.square().sum_all()]
    });
    let one = one.and_then(|p| p.grad(&["table"])).expect("a number");
    for names in [&["i"][..], &["i", "table"]] {
        let wide = one.batch(names, 5).expect("inputs");
        check::<f64>(&wide, 1, 1e-12);
        let given = inputs::<f64>(&wide, 2);
        let data: Vec<Data<'_, f64>> = given.iter().map(Array::data).collect();
        let found = wide.run(&data).expect("inputs fit");
        let (tables, Data::Index(all)) = (given[0].floats(), data[1]) else {
            panic!("numbers of rows");
        };
        for (n, row) in found[0].floats().chunks(90).enumerate() {
            let at = if names.len() == 2 { n * 90 } else { 0 };
            let data = [
                Data::Float(&tables[at..at + 90]),
                Data::Index(&all[n * 4..n * 4 + 4]),
            ];
            let expected = one.run(&data).expect("inputs fit");
            assert_eq!(row, expected[0].floats(), "list {n}");
        }
    }
}

/// More rows than indices, and rows that are long.
#[test]
fn rows_of_a_large_table() {
    check_all(|t| {
        let (table, i) = (t.input("table", [4000, 33]), t.index_input("i", [2500]));
        let far = t.iota([2500]);
        vec![table.gather(i), table.gather(far.reverse(&[0]))]
    });
}

#[test]
fn tables_without_entries() {
    check_all(|t| {
        let (none, i) = (t.input("none", [30, 0]), t.index_input("i", [4]));
        let (empty, few) = (t.input("empty", [0, 3]), t.index_input("few", [0, 2]));
        vec![
            none.gather(i).sum(&[1]),
            empty.gather(few).sum(&[0]),
            empty.cumulative_sum(0).sum(&[0]),
            empty.cumulative_sum(1).sum(&[0]),
        ]
    });
}

#[test]
fn running_sums() {
    check_all(|t| {
        let x = t.input("x", [3, 70, 150]);
        let long = t.input("long", [900, 40]);
        vec![
            x.cumulative_sum(0),
            x.cumulative_sum(1),
            x.cumulative_sum(2),
            x.permute(&[2, 0, 1]).cumulative_sum(0),
            x.permute(&[1, 2, 0]).cumulative_sum(1),
            long.transpose().cumulative_sum(-1),
            long.slice(1, 3..5).cumulative_sum(0),
            long.sum(&[0])
                .expand(0)
                .broadcast_to([60, 40])
                .cumulative_sum(0),
        ]
    });
}

#[test]
fn comparisons_and_labels() {
    check_all(|t| {
        let (x, i) = (t.input("x", [70, 80]), t.index_input("i", [70, 80]));
        let j = t.index_input("j", [80]);
        vec![
            i.less(j) * x,
            i.transpose().less_equal(i.reshape([80, 70])) * x.transpose(),
            i.equal(t.iota([70, 80])) * x,
            i.concat(&[i, i.reverse(&[0])], 1).to_float() * 0.1 + x.sum(&[1]).expand(1),
            x.sum_all() * j.one_hot(30),
            i.slice(1, 3..40).transpose().to_float() * 0.1,
        ]
    });
}

#[test]
fn largest_entries_of_windows() {
    check_all(|t| {
        let x = t.input("x", [5, 9, 11, 6]);
        let strided = Windows {
            strides: [2, 3],
            padding: Padding::Zeros([1, 2], [0, 1]),
            dilation: [2, 1],
            ..Windows::default()
        };
        vec![
            x.max_pool([3, 3], strided),
            x.permute(&[3, 2, 1, 0])
                .max_pool([2, 2], Windows::default()),
            // All are equal, and some are no numbers.
            x.sign().max_pool([2, 3], Windows::default()),
            x.log().detach().max_pool([2, 2], Windows::default()),
        ]
    });
}

/// Indices are compared as integers, whatever the precision.
#[test]
fn large_indices_differ_in_single_precision() {
    let program = Program::trace(|t| {
        let i = t.index_input("i", [3]);
        vec![i.equal(t.index_constant(&[16_777_216, -5, i32::MAX], [3]))]
    });
    let program = program.expect("shapes fit");
    let given = [Array::<f32>::Index(vec![16_777_217, -5, i32::MAX - 1])];
    assert_eq!(run(&program, &given, 1)[0], [0.0, 1.0, 0.0]);
}

/// What must be said of an index that names no row, by every way to run a program.
fn refused(program: &Program, given: &[Data<'_, f64>], expected: &str) {
    let mut out: Vec<Vec<f64>> = (0..program.outputs())
        .map(|i| vec![0.0; program.output_type(i).len()])
        .collect();
    let mut slots: Vec<&mut [f64]> = out.iter_mut().map(Vec::as_mut_slice).collect();
    let mut compiled = Executable::new(program).expect("real outputs");
    let errors = [
        program.run(given).expect_err("no such row"),
        compiled.run(given, &mut slots).expect_err("no such row"),
        compiled.run(given, &mut slots).expect_err("no such row"),
    ];
    for e in errors {
        assert_eq!(e.kind(), ErrorKind::Data);
        assert_eq!(e.message(), expected);
    }
}

#[test]
fn indices_that_name_no_row_are_refused() {
    let table = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let rows = Program::trace(|t| {
        let (x, i) = (t.input("x", [3, 2]), t.index_input("i", [2, 2]));
        vec![x.gather(i).square().sum_all()]
    });
    let rows = rows.expect("shapes fit");
    let gradient = rows.grad(&["x"]).expect("a number");
    for (i, text) in [
        ([0, 3, 2, 9], "index 3 at position 1"),
        ([0, 1, 2, -1], "index -1 at position 3"),
        (
            [i32::MIN, 0, 0, i32::MAX],
            "index -2147483648 at position 0",
        ),
    ] {
        let given = [Data::Float(&table[..]), Data::Index(&i)];
        let text = format!("gather: {text} names none of 3 rows");
        refused(&rows, &given, &text);
        refused(&gradient, &given, &text);
    }
    // The gradient of a sum needs no rows, but places for them.
    let sum = Program::trace(|t| {
        let (x, i) = (t.input("x", [3, 2]), t.index_input("i", [1]));
        vec![x.gather(i).sum_all()]
    });
    let sum = sum.and_then(|p| p.grad(&["x"])).expect("shapes fit");
    let given = [Data::Float(&table[..]), Data::Index(&[4])];
    refused(
        &sum,
        &given,
        "scatter_add: index 4 at position 0 names none of 3 rows",
    );
    // In a step of a scan.
    let steps = Program::trace(|t| {
        let (x, i) = (t.input("x", [3, 2]), t.index_input("i", [3, 1]));
        let start = t.fill(0.5, [1, 2]);
        let (last, _) = t.scan(&[start], &[i], |h, s| {
            (vec![(h[0] + x.gather(s[0])).sin()], vec![])
        });
        vec![last[0]]
    });
    let given = [Data::Float(&table[..]), Data::Index(&[0, 5, 7])];
    let text = "gather: index 5 at position 0 names none of 3 rows";
    refused(&steps.expect("shapes fit"), &given, text);
}

/// A run that was refused leaves nothing behind, in either stage.
#[test]
fn a_refused_run_does_not_spoil_the_next() {
    let loss = Program::trace(|t| {
        let (x, i) = (t.input("x", [3]), t.index_input("i", [2]));
        vec![x.gather(i).exp().sum_all()]
    });
    let product = loss.and_then(|p| p.grad(&["x"])?.linearize(&["x"]));
    let mut compiled = Executable::<f64>::new(&product.expect("shapes fit")).expect("real");
    let x = [0.0, 0.0, 0.0];
    let bad = [Data::Float(&x[..]), Data::Index(&[1, 3])];
    let good = [Data::Float(&x[..]), Data::Index(&[1, 1])];
    let e = compiled.prepare(&bad).err().expect("no such row");
    assert!(e.message().starts_with("gather: index 3"), "{e}");
    let mut out = [0.0; 3];
    let mut prepared = compiled.prepare(&good).expect("rows exist");
    for _ in 0..2 {
        let applied = prepared.apply(&[Data::Float(&[1.0, 2.0, 3.0])], &mut [&mut out]);
        applied.expect("rows exist");
        assert_eq!(out, [0.0, 4.0, 0.0]);
    }
}
