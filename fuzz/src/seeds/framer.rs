//! What a connection carries, from the login to the stream.

use super::frame::in_frame;
use super::rows;

pub(super) fn framer() -> Vec<Vec<u8>> {
    let login: Vec<u8> = LOGIN.iter().flat_map(|&(tag, body)| message(tag, body)).collect();
    let answers: Vec<u8> = ANSWERS.iter().flat_map(|&(tag, body)| message(tag, body)).collect();
    let mut stream = message(b'W', &[0, 0, 0]);
    stream.extend(message(b'd', &in_frame(&rows::event("1", "order", "k"))));
    stream.extend(message(b'd', &[b'w'; 300]));
    stream.extend(message(b'd', b"k"));
    stream.extend([message(b'c', b""), message(b'C', b"COPY 0\0"), message(b'Z', b"I")].concat());
    let whole = [&login[..], &answers, &stream].concat();
    let single = LOGIN.iter().chain(&ANSWERS).map(|&(tag, body)| message(tag, body));
    let mut seeds: Vec<_> = single.map(|bytes| cut_by(64, &bytes)).collect();
    for (piece, bytes) in [(1, &login), (7, &answers), (100, &stream), (255, &whole)] {
        seeds.push(cut_by(piece, bytes));
    }
    seeds
}

fn cut_by(piece: u8, bytes: &[u8]) -> Vec<u8> {
    [&[piece], bytes].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("a short seed");
    [&[tag], &length.to_be_bytes()[..], body].concat()
}

const LOGIN: [(u8, &[u8]); 9] = [
    (b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
    (b'R', b"\0\0\0\x0br=abc,s=c2FsdA==,i=4096"),
    (b'R', b"\0\0\0\x0cv=c2lnbmF0dXJl"),
    (b'R', b"\0\0\0\x05salt"),
    (b'R', b"\0\0\0\x03"),
    (b'R', b"\0\0\0\0"),
    (b'S', b"server_version\x0018.1\0"),
    (b'K', b"\0\0\x10\x01\0\0\x20\x02"),
    (b'Z', b"I"),
];

const ANSWERS: [(u8, &[u8]); 6] = [
    (b'T', b"\0\x02systemid\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0timeline\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\0"),
    (b'D', b"\0\x02\0\0\0\x047300\xff\xff\xff\xff"),
    (b'I', b""),
    (b'E', b"SFATAL\0VFATAL\0C57P01\0Mterminating connection\0Dwhy\0Hwait\0\0"),
    (b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"),
    (b'C', b"SELECT 1\0"),
];
