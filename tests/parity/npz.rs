//! Reads arrays of a file written by `numpy.savez_compressed`: a zip archive of `.npy` files.
//!
//! Only for the recorded values next to this file: one disk, stored or deflated, little-endian numbers. Anything else
//! panics.

use std::io::Read;
use std::path::Path;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

/// The element type of an array.
pub trait Number: Sized {
    /// NumPy's name of the type.
    const KIND: &'static str;
    /// Convert from bytes.
    fn from_bytes(bytes: &[u8]) -> Self;
}

macro_rules! number {
    ($($of:ty, $kind:literal;)*) => {$(
        impl Number for $of {
            const KIND: &'static str = $kind;
            fn from_bytes(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().unwrap())
            }
        }
    )*};
}

number! { u8, "|u1"; i64, "<i8"; f32, "<f4"; f64, "<f8"; }

/// The bytes of the archive.
pub struct Npz(Vec<u8>);

impl Npz {
    /// One of the recorded files by its name.
    pub fn recorded(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/data");
        Self(std::fs::read(folder.join(name)).unwrap())
    }

    /// An array by its key.
    pub fn array<T: Number>(&self, key: &str) -> ArrayD<T> {
        let file = self.file(&format!("{key}.npy"));
        let length = usize::from(u16::from_le_bytes([file[8], file[9]]));
        assert_eq!(&file[..8], b"\x93NUMPY\x01\x00", "{key}");
        let (header, values) = file[10..].split_at(length);
        let header = std::str::from_utf8(header).unwrap();
        assert!(header.contains(&format!("'descr': '{}'", T::KIND)), "{key}: {header}");
        let columns_first = header.contains("'fortran_order': True");
        let shape = header.split(['(', ')']).nth(1).unwrap();
        let shape: Vec<usize> =
            shape.split(',').map(str::trim).filter(|side| !side.is_empty()).map(|side| side.parse().unwrap()).collect();
        let values = values.chunks_exact(size_of::<T>()).map(T::from_bytes).collect();
        ArrayD::from_shape_vec(IxDyn(&shape).set_f(columns_first), values).unwrap()
    }

    /// A file of the archive, found in its directory at the end.
    fn file(&self, wanted: &str) -> Vec<u8> {
        let data = &self.0;
        let end = data.len() - 22;
        assert_eq!(&data[end..end + 4], b"PK\x05\x06", "the directory ends elsewhere");
        let mut entry = self.number(end + 16, 4);
        while &data[entry..entry + 4] == b"PK\x01\x02" {
            let lengths = [28, 30, 32].map(|at| self.number(entry + at, 2));
            if &data[entry + 46..entry + 46 + lengths[0]] == wanted.as_bytes() {
                let local = self.number(entry + 42, 4);
                let start = local + 30 + self.number(local + 26, 2) + self.number(local + 28, 2);
                let packed = &data[start..start + self.number(entry + 20, 4)];
                let mut file = Vec::new();
                match self.number(entry + 10, 2) {
                    0 => file.extend_from_slice(packed),
                    8 => drop(flate2::read::DeflateDecoder::new(packed).read_to_end(&mut file).unwrap()),
                    method => panic!("{wanted} is packed by method {method}"),
                }
                return file;
            }
            entry += 46 + lengths.iter().sum::<usize>();
        }
        panic!("the archive has no {wanted}");
    }

    fn number(&self, at: usize, bytes: usize) -> usize {
        self.0[at..at + bytes].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
    }
}
