//! Bodies both ways: framing, order, back-pressure.

use std::pin::pin;

use super::*;

/// More than the sockets' buffers hold.
const FLOOD: usize = 64 * 1024 * 1024;
/// Small enough to be copied behind what waits to be written.
const PIECE: &[u8] = &[b'x'; 4096];

#[tokio::test]
async fn a_small_request_with_its_body_is_one_write() {
    worker(async |pool, server| {
        let body = known(Bytes::from_static(b"hello")).await;
        let serve = async {
            let mut peer = server.accept().await;
            peer.read().await;
            let request = peer.unread();
            peer.write("HTTP/1.1 204 No Content\r\n\r\n").await;
            request
        };
        let (started, request) = tokio::join!(start(pool, server, "POST", Some(body)), serve);
        assert!(started.is_ok());
        assert_eq!(
            request,
            "POST / HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 5\r\n\r\nhello"
        );
    })
    .await;
}

#[tokio::test]
async fn chunks_go_both_ways() {
    worker(async |pool, server| {
        let (sender, body) = pieces().await;
        let serve = async {
            let mut peer = server.accept().await;
            assert!(peer.head().await.contains("transfer-encoding: chunked\r\n"));
            sender.send(Bytes::from_static(b"abc")).unwrap();
            assert_eq!(peer.until("\r\nabc\r\n").await, "3\r\nabc\r\n");
            sender.send(Bytes::from(vec![b'z'; 5000])).unwrap();
            assert_eq!(peer.until("z\r\n").await.len(), "1388\r\n".len() + 5002);
            drop(sender);
            assert_eq!(peer.until("\r\n\r\n").await, "0\r\n\r\n");
            peer.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nde")
                .await;
            peer.write("f\r\n0;x\r\nx-sum: 1\r\n\r\n").await;
            peer
        };
        let (started, _peer) = tokio::join!(start(pool, server, "POST", Some(body)), serve);
        let body = started.unwrap().1.into_body(false);
        assert_eq!(text(body).await.unwrap(), "def");
        assert_eq!(pool.idle_count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_large_body_arrives_whole() {
    worker(async |pool, server| {
        let content: Bytes = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
        let body = known(content.clone()).await;
        let serve = async {
            let mut peer = server.accept().await;
            assert!(peer.head().await.contains("content-length: 3000000\r\n"));
            peer.write("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
                .await;
            peer.echo().await;
        };
        let fetch = async {
            let (_, exchange) = start(pool, server, "POST", Some(body)).await.unwrap();
            rest(exchange.into_body(false)).await.unwrap()
        };
        tokio::select! {
            echoed = fetch => assert!(echoed == content),
            () = serve => panic!("the connection was closed"),
        }
        assert_eq!(pool.idle_count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_response_may_come_before_the_request_has_ended() {
    worker(async |pool, server| {
        let (sender, body) = pieces().await;
        let serve = async {
            let mut peer = server.accept().await;
            peer.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await;
            peer
        };
        let (started, mut peer) = tokio::join!(start(pool, server, "POST", Some(body)), serve);
        let mut body = started.unwrap().1.into_body(false);
        let serve = async {
            sender.send(Bytes::from_static(b"abc")).unwrap();
            peer.until("abc\r\n").await;
            drop(sender);
            peer.until("0\r\n\r\n").await;
            peer.write("3\r\ndef\r\n0\r\n\r\n").await;
        };
        let (frame, ()) = tokio::join!(piece(&mut body), serve);
        assert_eq!(frame.unwrap().unwrap(), "def");
        assert!(body.is_whole());
        assert_eq!(pool.idle_count(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_response_that_ends_first_stops_the_request() {
    worker(async |pool, server| {
        let (sender, body) = pieces().await;
        let refusal = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
        let (started, mut peer) = tokio::join!(
            start(pool, server, "POST", Some(body)),
            server.answer(refusal)
        );
        let (head, exchange) = started.unwrap();
        assert_eq!(head.status(), 413);
        assert_eq!(text(exchange.into_body(false)).await.unwrap(), "no");
        assert_eq!(pool.idle_count(), 0);
        peer.closed().await;
        drop(sender);
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_heard_even_if_the_upstream_takes_no_more_of_the_request() {
    worker(async |pool, server| {
        let (sender, body) = pieces().await;
        let mut head = ResponseHead::new();
        let request = request("POST", "/");
        let mut exchange = Exchange::open(pool, server.address, LIMITS, &request, Some(body))
            .await
            .unwrap();
        {
            let mut response = pin!(exchange.response(&mut head));
            let mut peer = tokio::select! {
                _ = &mut response => panic!("nobody has answered"),
                peer = server.accept() => peer,
            };
            let begin = async {
                peer.head().await;
                sender.send(Bytes::from_static(b"abc")).unwrap();
                peer.stream.readable().await.unwrap();
            };
            tokio::select! {
                _ = &mut response => panic!("nobody has answered"),
                () = begin => {}
            }
            peer.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
                .await;
            // A socket that is closed with bytes unread resets the connection: the next write fails.
            drop(peer);
            sender.send(Bytes::from_static(b"def")).unwrap();
            settle().await;
            response.await.unwrap();
        }
        assert_eq!(head.status(), 413);
        assert_eq!(text(exchange.into_body(false)).await.unwrap(), "no");
        assert_eq!(pool.idle_count(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_slow_upstream_slows_the_client_down() {
    worker(async |pool, server| {
        let taken = Rc::new(Cell::new(0));
        let counter = taken.clone();
        let (mut client, body) = receiving(BodyLength::Length(FLOOD as u64)).await;
        let writer = spawn_local(async move {
            while counter.get() < FLOOD {
                client.write_all(PIECE).await.unwrap();
                counter.set(counter.get() + PIECE.len());
            }
        });
        let exchange = start(pool, server, "POST", Some(body));
        tokio::select! {
            _ = exchange => panic!("nobody has answered"),
            () = until_still(&taken) => {}
        }
        assert!(taken.get() > 0);
        assert!(
            taken.get() < FLOOD / 4,
            "{} bytes were taken from the client",
            taken.get()
        );
        writer.abort();
    })
    .await;
}

#[tokio::test]
async fn a_slow_client_slows_the_upstream_down() {
    worker(async |pool, server| {
        let serve =
            server.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        let (started, peer) = tokio::join!(start(pool, server, "GET", None), serve);
        let mut body = started.unwrap().1.into_body(false);
        let written = Rc::new(Cell::new(0));
        let counter = written.clone();
        let mut stream = peer.stream;
        let writer = spawn_local(async move {
            let chunk = [b"1000\r\n", PIECE, b"\r\n"].concat();
            while counter.get() < FLOOD {
                stream.write_all(&chunk).await.unwrap();
                counter.set(counter.get() + chunk.len());
            }
        });
        assert!(piece(&mut body).await.unwrap().is_ok());
        until_still(&written).await;
        assert!(
            written.get() < FLOOD / 4,
            "{} bytes were taken from the upstream",
            written.get()
        );
        writer.abort();
    })
    .await;
}

/// Returns when the number has stopped to change although every socket has had its turn.
async fn until_still(number: &Cell<usize>) {
    let mut still = 0;
    while still < 100 {
        let before = number.get();
        settle().await;
        still = if number.get() == before { still + 1 } else { 0 };
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_ends_with_its_connection() {
    worker(async |pool, server| {
        let serve = async {
            let mut peer = server.answer("HTTP/1.1 200 OK\r\n\r\nsome ").await;
            peer.write("text").await;
        };
        let (fetched, ()) = tokio::join!(fetch(pool, server, "GET"), serve);
        assert_eq!(fetched.unwrap(), (200, "some text".to_owned()));
        assert_eq!(pool.idle_count(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_exchange_that_waits_owns_no_buffer() {
    worker(async |pool, server| {
        let serve =
            server.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        let (started, _peer) = tokio::join!(start(pool, server, "GET", None), serve);
        let mut body = started.unwrap().1.into_body(false);
        assert!(piece(&mut body).await.unwrap().is_ok());
        tokio::select! {
            _ = piece(&mut body) => panic!("nothing more was sent"),
            () = settle() => {}
        }
        assert_eq!(pool.buffers.idle(), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn interim_responses_are_skipped() {
    worker(async |pool, server| {
        let responses = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let (fetched, _peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(responses));
        assert_eq!(fetched.unwrap(), (200, "ok".to_owned()));
        assert_eq!(pool.idle_count(), 1);
    })
    .await;
}
