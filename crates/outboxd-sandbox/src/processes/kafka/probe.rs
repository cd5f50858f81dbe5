//! Asks a broker which brokers it knows to be alive: the sign that it serves clients. Two small
//! messages of Kafka's protocol do not need a Kafka client.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

/// Node ids of the live brokers as the broker on `port` sees them; none while it does not answer.
pub(crate) async fn live_brokers(port: u16) -> Vec<i32> {
    let answer = time::timeout(ANSWER_LIMIT, ask(port)).await;
    let answer = answer.ok().and_then(Result::ok).unwrap_or_default();
    parse(&answer).unwrap_or_default()
}

async fn ask(port: u16) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    stream.write_all(&REQUEST).await?;
    let length = u64::from(stream.read_u32().await?).min(LONGEST_ANSWER);
    let mut answer = Vec::new();
    stream.take(length).read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Correlation id, throttle time, then the brokers as (id, host, port, rack).
fn parse(answer: &[u8]) -> Option<Vec<i32>> {
    let mut rest = answer.get(8..)?;
    let count = read_i32(&mut rest)?;
    let mut brokers = Vec::new();
    for _ in 0..count {
        brokers.push(read_i32(&mut rest)?);
        skip_string(&mut rest)?;
        read_i32(&mut rest)?;
        skip_string(&mut rest)?;
    }
    Some(brokers)
}

fn read_i32(rest: &mut &[u8]) -> Option<i32> {
    let (bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(i32::from_be_bytes(*bytes))
}

/// A length of -1 stands for null.
fn skip_string(rest: &mut &[u8]) -> Option<()> {
    let (bytes, tail) = rest.split_first_chunk()?;
    let length = usize::try_from(i16::from_be_bytes(*bytes)).unwrap_or(0);
    *rest = tail.get(length..)?;
    Some(())
}

/// Metadata, version 4: no topics, none to be created.
const REQUEST: [u8; 19] = [
    0, 0, 0, 15, // length
    0, 3, 0, 4, // API, version
    0, 0, 0, 0, // correlation id
    0xff, 0xff, // no client id
    0, 0, 0, 0, // no topics
    0, // do not create topics
];

const ANSWER_LIMIT: Duration = Duration::from_secs(2);
const LONGEST_ANSWER: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] = b"\0\0\0\0\0\0\0\0\0\0\0\x02\
        \0\0\0\x01\0\x01a\0\0\0\x50\xff\xff\
        \0\0\0\x02\0\x01b\0\0\0\x50\0\x01r";

    #[test]
    fn the_brokers_are_read_with_and_without_a_rack() {
        assert_eq!(parse(ANSWER), Some(vec![1, 2]));
    }

    #[test]
    fn an_answer_cut_short_is_none() {
        for length in 0..ANSWER.len() {
            assert_eq!(parse(&ANSWER[..length]), None);
        }
    }
}
