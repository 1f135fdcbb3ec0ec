//! Rows of NPY files that are read where they lie, against the reader of whole files.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::mutate;
use quadric_data::{Limits, NpyRows, encode_npy, read_npy};
use quadric_linalg::ErrorKind;
use quadric_linalg::random::SeedTree;
use std::path::{Path, PathBuf};

fn file(folder: &Path, descr: &str, shape: &str, order: &str, data: &[u8]) -> PathBuf {
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}}}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    let path = folder.join("a.npy");
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Rows of every type and shape are those of the whole array, whatever the ranges.
#[test]
fn rows_are_those_of_the_whole_array() {
    let folder = tempfile::tempdir().unwrap();
    let seed = 2026;
    println!("seed {seed}");
    let mut stream = SeedTree::new(seed).child("rows").stream(0);
    let types = [
        ("|i1", 1, "int8"),
        ("|u1", 1, "uint8"),
        ("|b1", 1, "bool"),
        ("<i2", 2, "int16"),
        (">u2", 2, "uint16"),
        ("<i4", 4, "int32"),
        ("<u4", 4, "uint32"),
        (">i8", 8, "int64"),
        ("<u8", 8, "uint64"),
        ("<f4", 4, "float32"),
        (">f8", 8, "float64"),
    ];
    for (descr, size, dtype) in types {
        for (shape, n, d) in [
            ("(9,)", 9, 1),
            ("(7, 1500)", 7, 1500),
            ("(5, 3, 40)", 5, 120),
        ] {
            let mut data: Vec<u8> = (0..n * d * size).map(|_| stream.below(256) as u8).collect();
            if descr.contains('f') {
                // Exponents around that of 1 in either byte order.
                let high = if descr.starts_with('<') { size - 1 } else { 0 };
                data.iter_mut()
                    .skip(high)
                    .step_by(size)
                    .for_each(|b| *b = 0x3f);
            }
            let path = file(folder.path(), descr, shape, "False", &data);
            let whole = read_npy(&path, &Limits::default()).unwrap();
            let rows = NpyRows::open(&path).unwrap();
            assert_eq!(
                (rows.rows(), rows.row_len(), &rows.dtype()[..]),
                (n, d, dtype)
            );
            assert_eq!(rows.shape(), whole.shape);
            for _ in 0..12 {
                let from = stream.below(n + 1);
                let to = from + stream.below(n + 1 - from);
                let expected = &whole.values[from * d..to * d];
                let (mut doubles, mut floats) =
                    (vec![0.0; (to - from) * d], vec![0f32; (to - from) * d]);
                rows.read(from..to, &mut doubles).unwrap();
                assert_eq!(doubles, expected, "{descr} {shape} {from}..{to}");
                rows.read(from..to, &mut floats).unwrap();
                assert!(floats.iter().zip(expected).all(|(f, v)| *f == *v as f32));
                if size < 4 {
                    let mut whole_numbers = vec![0i32; floats.len()];
                    rows.read(from..to, &mut whole_numbers).unwrap();
                    assert!(
                        whole_numbers
                            .iter()
                            .zip(expected)
                            .all(|(i, v)| f64::from(*i) == *v)
                    );
                }
            }
        }
    }
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    // The last value is beyond the first piece that is decoded.
    let mut values = vec![1.0; 3 * 1000];
    (values[1], values[1002], values[2999]) = (0.5, 1e300, f64::NAN);
    std::fs::write(&path, encode_npy(&[3, 1000], &values)).unwrap();
    let rows = NpyRows::open(&path).unwrap();
    let mut doubles = vec![0.0; 3000];
    rows.read(0..2, &mut doubles[..2000]).unwrap();
    let error = rows.read(0..3, &mut doubles).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(
        error.message().contains("row 3, entry 1000 is NaN"),
        "{error:?}"
    );
    let error = rows.read(1..2, &mut [0f32; 1000]).unwrap_err();
    assert!(error.message().contains("row 2, entry 3 is 1"), "{error:?}");
    let error = rows.read(0..1, &mut [0i32; 1000]).unwrap_err();
    assert!(
        error.message().contains("row 1, entry 2 is 0.5"),
        "{error:?}"
    );
}

#[test]
fn wrong_ranges_and_lengths() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    std::fs::write(&path, encode_npy(&[3, 2], &[0.0; 6])).unwrap();
    let rows = NpyRows::open(&path).unwrap();
    let mut out = [0.0; 6];
    #[allow(clippy::reversed_empty_ranges, reason = "it is refused")]
    for range in [0..4, 4..4, 2..1, 0..usize::MAX] {
        let error = rows.read(range.clone(), &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument, "{range:?}");
        assert!(error.message().contains("rows"), "{error:?}");
    }
    let error = rows.read(0..2, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Shape);
    rows.read(3..3, &mut out[..0]).unwrap();
    // An array without rows, and one without entries.
    for shape in [[0, 2], [2, 0]] {
        std::fs::write(&path, encode_npy(&shape, &[])).unwrap();
        let rows = NpyRows::open(&path).unwrap();
        rows.read(0..shape[0], &mut out[..0]).unwrap();
    }
}

#[test]
fn what_cannot_be_read_in_rows() {
    let folder = tempfile::tempdir().unwrap();
    let write = |bytes: &[u8]| {
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        NpyRows::open(&path)
    };
    let good = encode_npy(&[4, 2], &[1.0; 8]);
    write(&good).unwrap();
    let mut longer = good.clone();
    longer.push(0);
    for (bytes, words) in [
        (
            &good[..good.len() - 1],
            "too early: 64 bytes of values announced, 63 found",
        ),
        (&good[..40], "header ends too early"),
        (&good[..9], "header ends too early"),
        (&longer, "1 bytes follow"),
        (&encode_npy(&[], &[1.0]), "no rows"),
        (b"\x1f\x8b\x08\x00", "compressed"),
        (b"\xfd7zXZ\0", "compressed"),
        (b"\x80\x04\x95\x10", "pickle"),
        (b"a,b\n1,2\n", "no NPY file"),
        (b"", "no NPY file"),
    ] {
        let error = write(bytes).expect_err(words);
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.message().contains(words), "{error:?}");
    }
    for (descr, shape, order, words) in [
        ("<f8", "(2, 2)", "True", "column-major"),
        ("|S8", "(4,)", "False", "text"),
        (
            "<f8",
            "(4294967296, 4294967296, 16)",
            "False",
            "beyond all memory",
        ),
        ("<f8", "(1000000000000, 2)", "False", "too early"),
        (
            "<f8",
            "(0, 4294967296, 4294967296)",
            "False",
            "beyond all memory",
        ),
        (
            "<f8",
            "(0, 4294967296, 4294967296)",
            "True",
            "beyond all memory",
        ),
    ] {
        let path = file(folder.path(), descr, shape, order, &[0; 32]);
        let error = NpyRows::open(&path).expect_err(words);
        assert!(error.message().contains(words), "{error:?}");
    }
    // Column-major order of one axis is no other order.
    let path = file(folder.path(), "<f8", "(4,)", "True", &[0; 32]);
    NpyRows::open(&path)
        .unwrap()
        .read(1..3, &mut [0.0; 2])
        .unwrap();
    for path in [folder.path().to_path_buf(), folder.path().join("none.npy")] {
        assert_eq!(NpyRows::open(&path).unwrap_err().kind(), ErrorKind::Io);
    }
}

/// F10: a file that is cut, or written again, after it was opened.
#[test]
fn t_f10_files_that_change_between_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let good = encode_npy(&[4, 2], &[1.0; 8]);
    std::fs::write(&path, &good).unwrap();
    let rows = NpyRows::open(&path).unwrap();
    let mut out = [0.0; 2];
    rows.read(3..4, &mut out).unwrap();
    let whole = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    whole.set_len(good.len() as u64 - 1).unwrap();
    for row in [0, 3] {
        let error = rows.read(row..row + 1, &mut out).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    }
    std::fs::write(&path, &good).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
    whole.set_modified(later).unwrap();
    let error = rows.read(0..1, &mut out).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
}

/// Threads that read at once do not disturb each other.
#[test]
fn threads_share_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let values: Vec<f64> = (0..64 * 500).map(f64::from).collect();
    std::fs::write(&path, encode_npy(&[64, 500], &values)).unwrap();
    let rows = NpyRows::open(&path).unwrap();
    std::thread::scope(|scope| {
        for first in 0..4 {
            let (rows, values) = (&rows, &values);
            scope.spawn(move || {
                for row in (first..64).step_by(4) {
                    let mut out = vec![0.0; 500];
                    rows.read(row..row + 1, &mut out).unwrap();
                    assert_eq!(out, values[row * 500..][..500]);
                }
            });
        }
    });
}

/// A damaged file is refused by both readers, or both read the same.
#[test]
fn mutations_agree_with_the_reader_of_whole_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let seed = encode_npy(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    mutate("rows", &[seed], 1000, |bytes| {
        std::fs::write(&path, bytes).unwrap();
        let (whole, rows) = (read_npy(&path, &Limits::default()), NpyRows::open(&path));
        let Ok(rows) = rows else {
            // Column-major arrays are refused, and single numbers.
            let order = bytes.windows(4).any(|w| w == b"True");
            assert!(whole.is_err() || order || whole.unwrap().shape.is_empty());
            return;
        };
        let whole = whole.unwrap();
        let mut out = vec![0.0; whole.values.len()];
        match rows.read(0..rows.rows(), &mut out) {
            Ok(()) => assert_eq!(out, whole.values),
            Err(_) => assert!(whole.values.iter().any(|v| !v.is_finite())),
        }
    });
}
