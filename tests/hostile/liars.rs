//! Attackers that know the cookie, and speak the protocol.

use std::io;
use std::time::Duration;

use antiphon_base::time::{Clock, SystemClock};
use antiphon_runtime::transport::memory::SplitMix64;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::strangers::random;
use crate::wire::{
    ANSWER, ASK, COMMANDS, FAILURE, FRAME_BYTES_MAX, Liar, PART, SHARDING, TELL, command, frame,
    hello, proof, read_hello, record,
};

/// Pause of a liar that was cut off, before it comes back under another name.
const PAUSE: Duration = Duration::from_secs(4);

/// Runs an attack under many names, again and again, until the time is over.
async fn always<F>(
    names: usize,
    until: Instant,
    attack: impl Fn(String) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let mut attackers = JoinSet::new();
    for name in 0..names {
        let attack = attack.clone();
        attackers.spawn(async move {
            for round in 0.. {
                // it is cut off, again and again
                let _ = attack(format!("{name}-{round}")).await;
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    tokio::time::sleep_until(until).await;
    attackers.shutdown().await;
}

/// Says the hello of the node itself, and a hello with the proof of another connection.
pub(crate) async fn replayed_hellos(address: String) {
    for _ in 0..10 {
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        let theirs = read_hello(&mut stream).await.expect("a hello");
        stream.write_all(&theirs).await.expect("it is sent");
        assert!(stream.read_u8().await.is_err(), "its own hello");

        // a recorded greeting, which was right once
        let own = hello([9; 16], "replayed@1");
        let recorded = [own.clone(), proof(&own, &theirs)].concat();
        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        read_hello(&mut stream).await.expect("a hello");
        stream.write_all(&recorded).await.expect("it is sent");
        let mut answer = [7; 32];
        stream.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(answer, [0; 32], "no proof for a recorded greeting");

        let mut stream = TcpStream::connect(&address).await.expect("a connection");
        stream.write_all(&[b'?'; 64]).await.expect("it is sent");
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// Sends frames of the limit, which are taken, and longer ones, which end the connection.
pub(crate) async fn frames_at_and_over_the_limit(address: String) {
    let padding = FRAME_BYTES_MAX - 33 - 15;
    for (number, over) in [1, 4096, 1 << 20, u32::MAX as usize - FRAME_BYTES_MAX].iter().enumerate()
    {
        let mut liar = greeted(&address, &format!("frames-{number}")).await;
        let longest = record(TELL, 99, 0, &vec![0; padding]);
        liar.record(&longest).await.expect("a frame of the limit");
        liar.ask(99, b"still there").await.expect("an answer");
        let length = u32::try_from(FRAME_BYTES_MAX + over).expect("a length");
        liar.stream.write_all(&length.to_le_bytes()).await.expect("it is sent");
        liar.ended().await;
    }
}

/// Connects until it is greeted: other attackers are at work.
async fn greeted(address: &str, name: &str) -> Liar {
    for _ in 0..1000 {
        if let Ok(liar) = Liar::connect(address, name).await {
            return liar;
        }
    }
    panic!("`{name}` is not greeted");
}

/// Sends frames, records and messages with contents that are wrong.
pub(crate) async fn invalid_contents(address: String, bytes: usize, until: Instant) {
    let mut seed = SplitMix64::new(3);
    let mut left = bytes;
    let mut number = 0;
    while left > 0 && SystemClock.now() < until {
        number += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
        let Ok(mut liar) = Liar::connect(&address, &format!("invalid-{number}")).await else {
            continue;
        };
        for _ in 0..50 {
            let length = usize::try_from(seed.next_u64() % 4096).expect("a length");
            let noise = random(&mut seed, length);
            left = left.saturating_sub(noise.len());
            let service = [1, COMMANDS, SHARDING, 99][length % 4];
            let kind = [TELL, ASK, ANSWER, FAILURE][length / 4 % 4];
            let valid = record(kind, service, seed.next_u64(), &noise);
            let unknown = record(ASK, COMMANDS, 1, &command("nothing", 1, &noise));
            let lying = record(ASK, COMMANDS, 1, &command("counter", u32::MAX, &noise));
            let sent = match length % 5 {
                0 => liar.frame(&noise).await,
                1 => liar.record(&noise).await,
                2 => liar.record(&valid).await,
                3 => liar.record(&unknown).await,
                _ => liar.record(&lying).await,
            };
            if sent.is_err() {
                break;
            }
        }
    }
}

/// Sends frames under 60 names that wait for a frame before them.
pub(crate) async fn frames_far_ahead(address: String, until: Instant) {
    always(60, until, move |name| {
        let address = address.clone();
        async move {
            let mut liar = Liar::connect(&address, &format!("ahead-{name}")).await?;
            let long = record(TELL, COMMANDS, 0, &vec![0; FRAME_BYTES_MAX - 33 - 15]);
            for number in 1..40 {
                liar.frame(&frame(number, &long)).await?;
            }
            liar.ended().await;
            Ok(())
        }
    })
    .await;
}

/// Sends under 100 names messages of 8 MB that never end.
pub(crate) async fn unfinished_messages(address: String, until: Instant) {
    always(100, until, move |name| {
        let address = address.clone();
        async move {
            let mut liar = Liar::connect(&address, &format!("unfinished-{name}")).await?;
            let part = record(TELL | PART, COMMANDS, 0, &vec![0; 60_000]);
            for _ in 0..139 {
                liar.record(&part).await?;
            }
            liar.ended().await;
            Ok(())
        }
    })
    .await;
}

/// Asks without end, and reads no answer.
pub(crate) async fn asks_without_reading(address: String, until: Instant) {
    always(20, until, move |name| {
        let address = address.clone();
        async move {
            let mut liar = Liar::connect(&address, &format!("deaf-{name}")).await?;
            let ask = command("counter", 1, &[1, 0]);
            loop {
                let many: Vec<u8> =
                    (0..200).flat_map(|number| record(ASK, COMMANDS, number, &ask)).collect();
                liar.record(&many).await?;
                tokio::time::sleep(PAUSE / 8).await;
            }
        }
    })
    .await;
}

/// Greets a hundred times in a second, each time under another name.
pub(crate) async fn greetings_without_end(address: String, until: Instant) {
    let mut number = 0;
    while SystemClock.now() < until {
        number += 1;
        let _ = Liar::connect(&address, &format!("greets-{number}")).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Greets as a node would while others attack: each at the first or the second try.
pub(crate) async fn honest_hellos(address: String, count: usize) {
    for number in 0..count {
        let name = format!("honest-{number}");
        let mut greeted = Liar::connect(&address, &name).await.is_ok();
        greeted = greeted || Liar::connect(&address, &name).await.is_ok();
        assert!(greeted, "honest hello {number}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Sends commands of 8 MB: one that claims as many answers, and others of garbage.
pub(crate) async fn long_commands(address: String) {
    let length = 8 * 1024 * 1024 - 64;
    for (number, (entity_type, replies, byte)) in [
        ("counter", 1, 0),
        ("counter", u32::MAX, 0),
        ("watch-list", 1024, 1),
        ("watch-list", 1, 251),
        ("auction", 1, 0),
        ("nothing", 1, 0),
    ]
    .into_iter()
    .enumerate()
    {
        let mut liar = greeted(&address, &format!("long-{number}")).await;
        let long = command(entity_type, replies, &vec![byte; length]);
        let asked = liar.ask(COMMANDS, &long);
        let answered = tokio::time::timeout(Duration::from_secs(20), asked).await;
        answered.expect("an answer in time").expect("an answer");
    }
}
