//! Reads protocol buffers by their wire format alone (protobuf.dev/programming-guides/encoding): fields by number, without the messages that
//! bufwatch writes them with. Panics on what is not well-formed.
#![expect(clippy::panic, reason = "a test that meets it has failed")]

/// The fields of a message, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(pub(crate) Vec<(u64, Field)>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

impl Message {
    pub(crate) fn read(mut bytes: &[u8]) -> Self {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let key = varint(&mut bytes);
            let field = match key & 7 {
                0 => Field::Number(varint(&mut bytes)),
                1 => Field::Number(u64::from_le_bytes(take(&mut bytes, 8).try_into().unwrap())),
                2 => {
                    let length = varint(&mut bytes) as usize;
                    Field::Bytes(take(&mut bytes, length).to_vec())
                }
                5 => Field::Number(u64::from(u32::from_le_bytes(
                    take(&mut bytes, 4).try_into().unwrap(),
                ))),
                other => panic!("wire type {other}"),
            };
            assert!(key >> 3 > 0, "field number 0");
            fields.push((key >> 3, field));
        }
        Self(fields)
    }

    /// Zero if it is not there, as readers of proto3 take it.
    pub(crate) fn number(&self, number: u64) -> u64 {
        self.all(number).last().map_or(0, |field| match field {
            Field::Number(n) => *n,
            Field::Bytes(_) => panic!("field {number} is no number"),
        })
    }

    pub(crate) fn texts(&self, number: u64) -> Vec<String> {
        self.bytes(number).into_iter().map(|it| String::from_utf8(it).unwrap()).collect()
    }

    pub(crate) fn messages(&self, number: u64) -> Vec<Self> {
        self.bytes(number).iter().map(|bytes| Self::read(bytes)).collect()
    }

    /// Repeated numbers, packed or not.
    pub(crate) fn list(&self, number: u64) -> Vec<u64> {
        let mut list = Vec::new();
        for field in self.all(number) {
            match field {
                Field::Number(n) => list.push(*n),
                Field::Bytes(packed) => {
                    let mut packed = packed.as_slice();
                    while !packed.is_empty() {
                        list.push(varint(&mut packed));
                    }
                }
            }
        }
        list
    }

    fn bytes(&self, number: u64) -> Vec<Vec<u8>> {
        let bytes = self.all(number).map(|field| match field {
            Field::Bytes(bytes) => bytes.clone(),
            Field::Number(_) => panic!("field {number} is a number"),
        });
        bytes.collect()
    }

    fn all(&self, number: u64) -> impl Iterator<Item = &Field> {
        self.0.iter().filter(move |(it, _)| *it == number).map(|(_, field)| field)
    }
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return value;
        }
    }
    panic!("a number of more than ten bytes");
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at_checked(n).unwrap();
    *bytes = rest;
    taken
}
