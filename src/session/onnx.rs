//! The bytes of an ONNX file → whether it contains all of its weights.
//!
//! A tensor may have external data: in another file or, for ONNX Runtime, at an address in this process's memory. The
//! digest in the manifest would not cover them. Files with external data are refused, and so is anything but an ONNX
//! file. Only the messages that lead to tensors are decoded. Field numbers: `onnx/onnx.proto` of the ONNX project; wire
//! format: the protobuf encoding guide, by which only the low 32 bits of a tag or an enumeration count.

/// Maximum nesting of messages; protobuf's own limit.
const MAX_DEPTH: usize = 100;

/// The result of a check; the error says what is wrong.
type Checked = Result<(), String>;

/// The messages that lead to tensors.
#[derive(Clone, Copy)]
enum Message {
    Model,
    Training,
    Function,
    Graph,
    Node,
    Attribute,
    Sparse,
    Tensor,
}

/// Refuse a file with external data.
pub(super) fn check_self_contained(file: &[u8]) -> Checked {
    walk(Message::Model, file, 0)
}

fn walk(message: Message, bytes: &[u8], depth: usize) -> Checked {
    if depth > MAX_DEPTH {
        return Err(format!("its messages are nested deeper than {MAX_DEPTH} levels"));
    }
    let mut rest = bytes;
    while !rest.is_empty() {
        let tag = varint(&mut rest)? as u32;
        let (field, wire) = (tag >> 3, tag & 7);
        match wire {
            0 => {
                let value = varint(&mut rest)? as u32;
                if matches!((message, field), (Message::Tensor, 14)) && value != 0 {
                    return Err(external_data_error());
                }
            }
            1 => _ = split(&mut rest, 8)?,
            2 => {
                let length = varint(&mut rest)?;
                let content = split(&mut rest, usize::try_from(length).map_err(|_| malformed_error())?)?;
                if matches!((message, field), (Message::Tensor, 13)) {
                    return Err(external_data_error());
                }
                if let Some(inner) = message.inner(field) {
                    walk(inner, content, depth + 1)?;
                }
            }
            5 => _ = split(&mut rest, 4)?,
            _ => return Err(malformed_error()), // groups, which ONNX does not have
        }
    }
    Ok(())
}

impl Message {
    /// The message in a field, if it leads to tensors.
    fn inner(self, field: u32) -> Option<Self> {
        match (self, field) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 20) => Some(Self::Training),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Node, 5) | (Self::Function, 11) => Some(Self::Attribute),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::Sparse),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Some(Self::Tensor),
            _ => None,
        }
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first().ok_or_else(malformed_error)?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(malformed_error())
}

fn split<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (front, after) = rest.split_at_checked(length).ok_or_else(malformed_error)?;
    *rest = after;
    Ok(front)
}

fn malformed_error() -> String {
    "it is not an ONNX file".to_owned()
}

fn external_data_error() -> String {
    "it has external data, which no digest covers; save it as one file".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |mut value: usize| {
            while value > 0x7f {
                bytes.push(value as u8 | 0x80);
                value >>= 7;
            }
            bytes.push(value as u8);
        };
        put(number as usize * 8 + 2);
        put(content.len());
        bytes.extend_from_slice(content);
        bytes
    }

    /// Nest content in fields, the outermost first.
    fn nest(path: &[u32], content: &[u8]) -> Vec<u8> {
        path.iter().rev().fold(content.to_vec(), |inner, number| field(*number, &inner))
    }

    /// Every path from the file to a tensor: weights, sparse ones, attributes of a node, graphs within attributes,
    /// functions and training.
    const PATHS: [&[u32]; 10] = [
        &[7, 5],
        &[7, 15, 1],
        &[7, 15, 2],
        &[7, 1, 5, 5],
        &[7, 1, 5, 10],
        &[7, 1, 5, 22, 1],
        &[7, 1, 5, 6, 5],
        &[7, 1, 5, 11, 1, 5, 5],
        &[25, 7, 5, 5],
        &[20, 1, 5],
    ];

    #[test]
    fn external_data_is_found_in_every_tensor() {
        let place = field(13, b"\x0a\x08location\x12\x01w");
        let wide = [0x70, 0x81, 0x80, 0x80, 0x80, 0x10]; // EXTERNAL with a bit above the 32 of an enumeration
        for path in PATHS {
            check_self_contained(&nest(path, &[0x70, 0])).unwrap();
            check_self_contained(&nest(path, &field(9, &[1; 300]))).unwrap();
            for tensor in [&[0x70, 1][..], &place, &wide, &[&field(8, b"name")[..], &place].concat()] {
                let reason = check_self_contained(&nest(path, tensor)).unwrap_err();
                assert!(reason.contains("external data"), "{path:?}: {reason}");
            }
        }
    }

    #[test]
    fn the_same_field_numbers_are_allowed_in_other_messages() {
        check_self_contained(&[field(13, b"x"), vec![0x70, 1], field(14, b"x")].concat()).unwrap();
        check_self_contained(&nest(&[7, 1], &field(13, b"x"))).unwrap();
    }

    #[test]
    fn invalid_protobuf_is_refused() {
        let deep = nest(&[[7, 1, 5, 6].as_slice(), &[1, 5, 6].repeat(60)].concat(), &[]);
        for file in [&b"\x08"[..], b"\x3a\x05abc", b"\x0b\x0c", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &deep]
        {
            assert!(check_self_contained(file).is_err(), "{file:?}");
        }
    }
}
