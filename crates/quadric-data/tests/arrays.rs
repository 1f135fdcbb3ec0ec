//! NPY and NPZ (F03), compressed files (F07), foreign files (F06), paths (F11), files that change (F10).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use common::mutate;
use proptest::prelude::*;
use quadric_data::{
    Dataset, Format, Limits, Missing, ReadOptions, Target, describe, encode, read, read_bytes,
};
use quadric_linalg::{DataMatrix, ErrorKind};
use std::io::Write;
use std::time::{Duration, Instant};

fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.bytes());
    bytes.extend(data);
    bytes
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}}}\n")
}

fn load(bytes: &[u8]) -> quadric_linalg::Result<Dataset> {
    read_bytes("t.npy", bytes.to_vec(), &ReadOptions::default())
}

#[test]
fn t_f03_types() {
    let table: &[(&str, Vec<u8>, f64)] = &[
        ("'<f4'", (-1.5f32).to_le_bytes().to_vec(), -1.5),
        ("'>f4'", 2.5f32.to_be_bytes().to_vec(), 2.5),
        ("'<f8'", 0.1f64.to_le_bytes().to_vec(), 0.1),
        ("'|i1'", vec![0xff], -1.0),
        ("'>i2'", (-300i16).to_be_bytes().to_vec(), -300.0),
        ("'<i4'", i32::MIN.to_le_bytes().to_vec(), -2_147_483_648.0),
        (
            "'<i8'",
            i64::MIN.to_le_bytes().to_vec(),
            -9_223_372_036_854_775_808.0,
        ),
        ("'|u1'", vec![200], 200.0),
        ("'>u2'", 65_535u16.to_be_bytes().to_vec(), 65_535.0),
        ("'<u4'", u32::MAX.to_le_bytes().to_vec(), 4_294_967_295.0),
        (
            "'=u8'",
            u64::MAX.to_le_bytes().to_vec(),
            18_446_744_073_709_551_615.0,
        ),
        ("'|b1'", vec![1], 1.0),
    ];
    for (descr, bytes, value) in table {
        for shape in ["(1,)", "(1, 1)"] {
            let data = load(&npy(&header(descr, shape), bytes))
                .unwrap_or_else(|e| panic!("{descr}: {e:?}"));
            assert_eq!(describe(&data).dense_rows.unwrap(), [[*value]], "{descr}");
        }
    }
}

#[test]
fn t_f03_refused() {
    let eight = 1f64.to_le_bytes();
    let table: &[(Vec<u8>, &str)] = &[
        (npy(&header("'|O'", "(1,)"), &eight), "run code"),
        (npy(&header("'<c16'", "(1,)"), &[0; 16]), "complex"),
        (npy(&header("'<U4'", "(1,)"), &[0; 16]), "text"),
        (
            npy(&header("[('a', '<f8')]", "(1,)"), &eight),
            "not supported",
        ),
        (
            npy(&header("'<f8'", "(4294967296, 4294967296, 16)"), &eight),
            "beyond all memory",
        ),
        (npy(&header("'<f8'", "(2,)"), &eight), "too early"),
        (
            npy(&header("'<f8'", "(1000000000000,)"), &eight),
            "too early",
        ),
        (npy(&header("'<f8'", "(1,)"), &[0; 9]), "1 bytes follow"),
        (npy(&header("'<f8'", "()"), &eight), "one or two dimensions"),
        (
            npy(&header("'<f8'", "(1, 1, 1)"), &eight),
            "one or two dimensions",
        ),
        (npy(&header("'<f8'", "(0, 3)"), &[]), "no rows"),
        (npy(&header("'<f8'", "(3, 0)"), &[]), "no columns"),
        (npy("not a dictionary", &eight), "dictionary"),
        (npy("{'descr': '<f8'}", &eight), "lacks"),
        (
            npy(&header("'<f8'", "(1,)"), &f64::INFINITY.to_le_bytes()),
            "row 1, column 1",
        ),
        (
            npy(&header("'<f8'", "(1,)"), &f64::NAN.to_le_bytes()),
            "no value",
        ),
        (b"\x93NUMPY\x01\x00".to_vec(), "too early"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec(), "refused"),
        (b"\x93NUMPY\x07\x00\x10\x00".to_vec(), "version 7.0"),
        (b"\x93NUMPY".to_vec(), "too early"),
    ];
    for (bytes, words) in table {
        let error = load(bytes).expect_err(words);
        assert!(error.to_string().contains(words), "{error:?}");
    }
}

#[test]
fn columns_of_arrays() {
    let values: Vec<u8> = [1.0, 5.0, 2.0, f64::NAN, 3.0, 7.0]
        .iter()
        .flat_map(|v: &f64| v.to_le_bytes())
        .collect();
    let bytes = npy(&header("'<f8'", "(3, 2)"), &values);
    let with = |missing, target: Target| {
        read_bytes(
            "t.npy",
            bytes.clone(),
            &ReadOptions {
                missing,
                target,
                ..ReadOptions::default()
            },
        )
    };
    assert!(
        with(Missing::Error, Target::Guess)
            .unwrap_err()
            .message()
            .contains("row 2")
    );
    let mean = with(Missing::Mean, Target::Column("1".into())).unwrap();
    assert_eq!(
        (mean.target.clone(), describe(&mean).dense_rows.unwrap()),
        (vec![1.0, 2.0, 3.0], vec![vec![5.0], vec![6.0], vec![7.0]])
    );
    assert_eq!(mean.feature_names, ["2"]);
    assert_eq!(with(Missing::Drop, Target::Guess).unwrap().rows(), 2);
    let report = describe(&with(Missing::Report, Target::Guess).unwrap());
    assert_eq!(
        (report.missing, report.problems),
        (1, vec!["column 2: 1 missing value, row 2".to_owned()])
    );
}

proptest! {
    #![proptest_config(common::seeded(200))]

    #[test]
    fn arrays_survive(values in proptest::collection::vec(any::<f64>().prop_filter("finite", |v| v.is_finite()), 1..40)) {
        let n = values.len();
        let x = DataMatrix::dense(values, n, 1).unwrap();
        let data = Dataset::new("x", x, Vec::new()).unwrap();
        let again = load(&encode(&data, Format::Npy).unwrap()).unwrap();
        prop_assert_eq!(again.fingerprint(), data.fingerprint());
    }
}

#[cfg(feature = "npz")]
mod npz {
    use super::*;

    fn load(bytes: Vec<u8>) -> quadric_linalg::Result<Dataset> {
        read_bytes("t.npz", bytes, &ReadOptions::default())
    }

    fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for (name, bytes) in members {
            writer
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn round_trips() {
        for name in ["wdbc", "mushrooms"] {
            let mut data = quadric_data::embedded(name).unwrap();
            data.weights = Some((0..data.rows()).map(|i| 1.0 + (i % 3) as f64).collect());
            let again = load(encode(&data, Format::Npz).unwrap()).unwrap();
            assert_eq!(again.fingerprint(), data.fingerprint(), "{name}");
        }
    }

    #[test]
    fn t_f03_archives() {
        let good = npy(&header("'<f8'", "(1,)"), &1f64.to_le_bytes());
        assert_eq!(load(archive(&[("anything.npy", &good)])).unwrap().rows(), 1);
        let bomb = vec![0u8; 80 << 20];
        let bomb = archive(&[(
            "x.npy",
            &npy(&header("'|u1'", &format!("({},)", bomb.len())), &bomb),
        )]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(load(bomb).unwrap_err().kind(), ErrorKind::Resource);
        let twice = archive(&[("x.npy", &good), ("y.npy", &good)]);
        // Both names become the same in the directory and before the data.
        let twice = replace(twice, b"y.npy", b"x.npy");
        assert!(load(twice).unwrap_err().message().contains("same name"));
        for (name, words) in [
            ("../x.npy", "refused"),
            ("/x.npy", "refused"),
            ("x.txt", "no array"),
        ] {
            let error = load(archive(&[(name, &good)])).unwrap_err();
            assert!(error.message().contains(words), "{error:?}");
        }
        let unclear = archive(&[("a.npy", &good), ("b.npy", &good)]);
        assert!(load(unclear).unwrap_err().message().contains("called x"));
        let cut = archive(&[("x.npy", &good)]);
        assert_eq!(
            load(cut[..cut.len() - 5].to_vec()).unwrap_err().kind(),
            ErrorKind::Malformed
        );
    }

    fn replace(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from {
                bytes[at..at + to.len()].copy_from_slice(to);
            }
        }
        bytes
    }

    #[test]
    fn mutations_do_not_break_the_reader() {
        let seed = encode(
            &quadric_data::embedded("mushrooms")
                .unwrap()
                .select_rows(&[0, 1, 2])
                .unwrap(),
            Format::Npz,
        )
        .unwrap();
        mutate("npz", &[seed], 2000, |bytes| drop(load(bytes.to_vec())));
    }
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// `1 1:2\n0 2:1\n` by `xz --check=crc32`.
const XZ: &[u8] = include_bytes!("../../../testdata/data-tests/two_rows.svm.xz");

#[test]
fn t_f07_compressed() {
    let load = |bytes: Vec<u8>| read_bytes("t.svm", bytes, &ReadOptions::default());
    let whole = gz(b"1 1:2\n0 2:1\n");
    let members = [gz(b"1 1:2\n"), gz(b""), gz(b"0 2:1\n")].concat();
    let plain = load(b"1 1:2\n0 2:1\n".to_vec()).unwrap().fingerprint();
    for bytes in [whole.clone(), members, XZ.to_vec()] {
        assert_eq!(load(bytes).unwrap().fingerprint(), plain);
    }
    for bytes in [
        whole[..whole.len() - 1].to_vec(),
        whole[..12].to_vec(),
        [&whole[..], b"x"].concat(),
        [&whole[..], &whole[..5]].concat(),
        XZ[..XZ.len() - 3].to_vec(),
        [XZ, b"garbage!"].concat(),
    ] {
        assert_eq!(load(bytes).unwrap_err().kind(), ErrorKind::Malformed);
    }
    let mut broken = whole.clone();
    let crc = broken.len() - 6;
    broken[crc] ^= 1;
    assert_eq!(load(broken).unwrap_err().kind(), ErrorKind::Malformed);
    let bomb = gz(&vec![b'#'; 40 << 20]);
    assert!(bomb.len() < 100_000);
    assert_eq!(load(bomb).unwrap_err().kind(), ErrorKind::Resource);
    let tight = ReadOptions {
        limits: Limits {
            bytes: 10,
            ..Limits::default()
        },
        ..ReadOptions::default()
    };
    assert_eq!(
        read_bytes("t.svm", whole, &tight).unwrap_err().kind(),
        ErrorKind::Resource
    );
}

#[test]
fn t_f06_foreign_files() {
    let table: &[(&[u8], &str)] = &[
        (b"\x80\x04\x95\x10", "pickle"),
        (b"\x80\x02}q\x00.", "safetensors.torch.save_file"),
        (
            b"PK\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00archive/data.pkl",
            "PyTorch",
        ),
        (b"\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":{}}", "safetensors"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"PAR1....", "Parquet"),
        (b"\xff\xfe1\x00,\x00", "UTF-16"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ];
    for (bytes, words) in table {
        for name in ["t.csv", "t.pt", "t.npy"] {
            let error = read_bytes(name, bytes.to_vec(), &ReadOptions::default()).expect_err(words);
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains(words), "{error:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn t_f11_paths() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink(at("loop"), at("loop")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(at("pipe.csv"))
        .status();
    let begin = Instant::now();
    let mut paths = vec![
        folder.path().to_path_buf(),
        at("none.csv"),
        at("loop"),
        "/dev/zero".into(),
        "/dev/full".into(),
        at(&"x".repeat(5000)),
    ];
    if made.is_ok_and(|s| s.success()) {
        paths.push(at("pipe.csv"));
    }
    for path in paths {
        let error = read(&path, &ReadOptions::default()).expect_err("no regular file");
        assert_eq!(error.kind(), ErrorKind::Io, "{error:?}");
    }
    assert!(begin.elapsed() < Duration::from_secs(5));
    use std::os::unix::ffi::OsStrExt;
    let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"\xff.csv"));
    std::fs::write(&odd, "a,y\n1,2\n").unwrap();
    let options = ReadOptions {
        format: Some(Format::Csv),
        ..ReadOptions::default()
    };
    assert_eq!(read(&odd, &options).unwrap().rows(), 1);
}

/// A file that another thread keeps growing and cutting is read whole or refused, never mixed up.
#[test]
fn t_f10_files_that_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changing.svm");
    let text = "1 1:2 2:3\n".repeat(20_000);
    std::fs::write(&path, &text).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let part = if round % 2 == 0 {
                    text.len() / 2
                } else {
                    text.len()
                };
                std::fs::write(&path, &text[..part]).unwrap();
            }
        });
        for _ in 0..200 {
            match read(&path, &ReadOptions::default()) {
                Ok(data) => assert!(data.rows() <= 20_000),
                Err(e) => assert!(
                    [ErrorKind::Io, ErrorKind::Data].contains(&e.kind()),
                    "{e:?}"
                ),
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn mutations_do_not_break_the_readers() {
    let array = npy(&header("'<f4'", "(2, 2)"), &[0; 16]);
    let seeds = [
        gz(b"1 1:2\n0 2:1\n"),
        XZ.to_vec(),
        array,
        b"a,y\n1,2\n".to_vec(),
    ];
    mutate("containers", &seeds, 4000, |bytes| {
        drop(read_bytes(
            "mutant",
            bytes.to_vec(),
            &ReadOptions::default(),
        ));
        drop(read_bytes(
            "mutant.npy",
            bytes.to_vec(),
            &ReadOptions::default(),
        ));
    });
}

/// Arrays of any rank, in both orders, and what is written is read.
#[test]
fn arrays_of_any_rank() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let limits = Limits::default();
    let values: Vec<f64> = (0..24).map(f64::from).collect();
    for shape in [&[][..], &[24], &[4, 6], &[2, 3, 4], &[2, 1, 3, 4]] {
        let values = &values[..shape.iter().product()];
        std::fs::write(&path, quadric_data::encode_npy(shape, values)).unwrap();
        let read = quadric_data::read_npy(&path, &limits).unwrap();
        assert_eq!((&read.shape[..], &read.values[..]), (shape, values));
        assert!(!read.is_integer);
    }
    // First axis fastest: entry (i, j, k) lies at i + 2 j + 6 k.
    let mut bytes = quadric_data::encode_npy(&[2, 3, 4], &values);
    let at = bytes.windows(5).position(|w| w == b"False").unwrap();
    bytes.splice(at..at + 5, *b"True ");
    std::fs::write(&path, bytes).unwrap();
    let read = quadric_data::read_npy(&path, &limits).unwrap();
    for (at, found) in read.values.iter().enumerate() {
        let (i, j, k) = (at / 12, at / 4 % 3, at % 4);
        assert_eq!(*found, (i + 2 * j + 6 * k) as f64);
    }
}
