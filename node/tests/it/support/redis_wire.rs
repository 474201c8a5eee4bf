//! Redis by hand, for tests that take away what is in it.

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// An answer, flattened: arrays become their elements, one after the other.
pub async fn redis(url: &str, command: &[&str]) -> Vec<String> {
    let address = url.trim_start_matches("redis://").split('/').next().unwrap();
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut text = format!("*{}\r\n", command.len());
    for word in command {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let mut left = 1_usize;
    while left > 0 {
        left -= 1;
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" | ":" => answer.push(rest.to_owned()),
            "*" => left += usize::try_from(rest.parse::<i64>().unwrap().max(0)).unwrap(),
            "$" => {
                if let Ok(length) = rest.parse::<usize>() {
                    let mut bytes = vec![0; length + 2];
                    stream.read_exact(&mut bytes).await.unwrap();
                    answer.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
                }
            }
            _ => panic!("{command:?}: {line}"),
        }
    }
    answer
}
