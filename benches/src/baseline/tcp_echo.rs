//! A bare TCP echo between two processes: the limit of any ask over the network.
//!
//! Each of `in_flight` clients sends one small frame and waits for its echo, all over one
//! connection, as the asks of a link do. Each frame is written at once, without batching.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::stats::Stopwatch;

const FRAME_BYTES: usize = 64;

/// Runs the echo server on the address that it prints, until its client leaves.
pub(crate) fn serve() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    println!("{}", listener.local_addr().expect("a bound socket"));
    let (mut stream, _) = listener.accept().expect("a client");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut frame = [0; FRAME_BYTES];
    while stream.read_exact(&mut frame).is_ok() {
        if stream.write_all(&frame).is_err() {
            return;
        }
    }
}

/// Round trips per second against [`serve`] at `address`.
pub(crate) fn round_trips_per_second(address: &str, count: usize, in_flight: usize) -> f64 {
    let mut stream = TcpStream::connect(address).expect("the echo server");
    stream.set_nodelay(true).expect("a TCP socket");
    let mut waiting = VecDeque::new();
    let mut frame = [1; FRAME_BYTES];
    let watch = Stopwatch::start();
    for number in 0..count + in_flight {
        if number >= in_flight {
            stream.read_exact(&mut frame).expect("an echo");
            waiting.pop_front();
        }
        if number < count {
            stream.write_all(&frame).expect("an open connection");
            waiting.push_back(number);
        }
    }
    assert!(waiting.is_empty(), "every echo came back");
    watch.rate(count)
}
