//! What goes wrong, how it is named, and that nothing stays open behind it.

use http_wire::h1::Malformed;
use tokio::net::TcpSocket;
use tokio::time::Instant;

use super::error::Violation;
use super::*;

#[tokio::test]
async fn malformed_responses_are_protocol_errors_and_close_the_connection() {
    let cases = [
        ("hello\r\n\r\n", Malformed::Version),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", Malformed::StatusLine),
        ("HTTP/1.1 200 OK\nA: b\n\n", Malformed::LineEnd),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Malformed::TwoLengths,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
            Malformed::ContentLength,
        ),
    ];
    for (response, malformed) in cases {
        worker(async |pool, server| {
            let (fetched, mut peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(response));
            let error = fetched.unwrap_err();
            assert!(
                matches!(error, UpstreamError::Protocol(Violation::Malformed(found)) if found == malformed),
                "{response:?}: {error:?}"
            );
            peer.closed().await;
        })
        .await;
    }
}

#[tokio::test]
async fn a_head_without_end_is_refused_at_its_limit() {
    worker(async |pool, server| {
        let endless = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(70 * 1024));
        let (fetched, _peer) = tokio::join!(fetch(pool, server, "GET"), server.answer(&endless));
        let error = fetched.unwrap_err();
        assert!(
            matches!(
                error,
                UpstreamError::Protocol(Violation::Malformed(Malformed::HeadTooLarge))
            ),
            "{error:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn an_unasked_switch_and_endless_interim_responses_are_refused() {
    let cases = [
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
                .to_owned(),
            Violation::UnaskedSwitch,
        ),
        (
            "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(17),
            Violation::TooManyInterim,
        ),
    ];
    for (response, violation) in cases {
        worker(async |pool, server| {
            let (fetched, _peer) =
                tokio::join!(fetch(pool, server, "GET"), server.answer(&response));
            let error = fetched.unwrap_err();
            assert!(
                matches!(error, UpstreamError::Protocol(found) if found == violation),
                "{error:?}"
            );
        })
        .await;
    }
}

#[tokio::test]
async fn a_cut_body_is_an_error_and_never_an_end() {
    let responses = [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ];
    for response in responses {
        worker(async |pool, server| {
            let serve = async { drop(server.answer(response).await) };
            let (started, ()) = tokio::join!(start(pool, server, "GET", None), serve);
            let mut body = started.unwrap().1.into_body(false);
            assert_eq!(piece(&mut body).await.unwrap().unwrap(), "abc");
            let error = piece(&mut body).await.unwrap().unwrap_err();
            assert!(
                matches!(error, UpstreamError::Closed(stage) if stage.response_begun),
                "{error:?}"
            );
            assert!(piece(&mut body).await.is_none());
        })
        .await;
    }
}

#[tokio::test]
async fn a_malformed_chunk_is_an_error_even_beside_the_head() {
    for behind in ["zz\r\n", "1\r\na\r\nzz\r\n"] {
        worker(async |pool, server| {
            let response = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{behind}");
            let (fetched, mut peer) =
                tokio::join!(fetch(pool, server, "GET"), server.answer(&response));
            let error = fetched.unwrap_err();
            assert!(
                matches!(
                    error,
                    UpstreamError::Protocol(Violation::Malformed(Malformed::Chunk))
                ),
                "{error:?}"
            );
            peer.closed().await;
        })
        .await;
    }
}

#[tokio::test]
async fn cancelling_closes_the_connection_at_once() {
    worker(async |pool, server| {
        // While the response is awaited.
        let mut peer = tokio::select! {
            _ = fetch(pool, server, "GET") => panic!("nobody has answered"),
            peer = async {
                let mut peer = server.accept().await;
                peer.head().await;
                peer
            } => peer,
        };
        peer.closed().await;
        // In the middle of the body.
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc";
        let (started, mut peer) =
            tokio::join!(start(pool, server, "GET", None), server.answer(half));
        let body = started.unwrap().1.into_body(false);
        drop(body);
        peer.closed().await;
        assert_eq!(pool.idle_count(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_ends_the_exchange() {
    worker(async |pool, server| {
        let (mut client, body) = receiving(BodyLength::Length(9)).await;
        client.write_all(b"abc").await.unwrap();
        let serve = async {
            let mut peer = server.accept().await;
            assert!(peer.head().await.contains("content-length: 9\r\n"));
            drop(client);
            peer.closed().await;
            peer.unread()
        };
        let (started, sent) = tokio::join!(start(pool, server, "POST", Some(body)), serve);
        let error = started.err().unwrap();
        assert!(matches!(error, UpstreamError::RequestBody(_)), "{error:?}");
        assert!(!error.retry_is_safe(true));
        assert!("abc".starts_with(&sent));
    })
    .await;
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_a_connect_error() {
    worker(async |pool, _| {
        let gone = Server::start().await;
        let address = gone.address;
        drop(gone);
        let opened = Exchange::open(pool, address, LIMITS, &request("GET", "/"), None).await;
        let error = opened.err().unwrap();
        assert!(matches!(error, UpstreamError::Connect(_)), "{error:?}");
        assert!(error.retry_is_safe(false));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn connecting_is_bounded_by_its_timeout_and_by_the_deadline() {
    worker(async |pool, _| {
        // A full backlog answers nobody.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await
        {
            queued.push(stream.unwrap());
        }
        let open = async |limits| {
            Exchange::open(pool, address, limits, &request("GET", "/"), None)
                .await
                .err()
                .unwrap()
        };
        assert!(matches!(open(LIMITS).await, UpstreamError::ConnectTimeout));
        let deadline = Some(Instant::now() + Duration::from_secs(2));
        assert!(matches!(
            open(Limits { deadline, ..LIMITS }).await,
            UpstreamError::Deadline
        ));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_upstream_is_given_up_after_the_idle_timeout() {
    worker(async |pool, server| {
        let limits = Limits {
            idle_timeout: Some(Duration::from_secs(30)),
            ..LIMITS
        };
        let began = Instant::now();
        let started = start_within(limits, pool, server, "GET", None).await;
        assert!(matches!(started.err().unwrap(), UpstreamError::Idle));
        assert_eq!(began.elapsed().as_secs(), 30);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_byte_starts_the_idle_time_anew_and_so_does_a_slow_client() {
    worker(async |pool, server| {
        let limits = Limits {
            idle_timeout: Some(Duration::from_secs(30)),
            ..LIMITS
        };
        let serve =
            server.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        let (started, mut peer) =
            tokio::join!(start_within(limits, pool, server, "GET", None), serve);
        let mut body = started.unwrap().1.into_body(false);
        assert!(piece(&mut body).await.unwrap().is_ok());
        // The client does not ask for more: nothing is idle.
        tokio::time::advance(Duration::from_secs(100)).await;
        let serve = async {
            tokio::time::sleep(Duration::from_secs(29)).await;
            peer.write("1\r\nb").await;
            tokio::time::sleep(Duration::from_secs(29)).await;
            peer.write("\r\n1\r\nc\r\n").await;
        };
        let read = async {
            assert!(piece(&mut body).await.unwrap().is_ok());
            assert!(piece(&mut body).await.unwrap().is_ok());
        };
        tokio::join!(read, serve);
        let error = piece(&mut body).await.unwrap().unwrap_err();
        assert!(matches!(error, UpstreamError::Idle), "{error:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_connection_does_not_keep_the_time_of_the_request_before() {
    worker(async |pool, server| {
        let within = |seconds| Limits {
            deadline: Some(Instant::now() + Duration::from_secs(seconds)),
            ..LIMITS
        };
        let ok = "HTTP/1.1 204 No Content\r\n\r\n";
        let (first, mut peer) = tokio::join!(
            start_within(within(2), pool, server, "GET", None),
            server.answer(ok)
        );
        drop(first.unwrap().1.into_body(false));
        tokio::time::advance(Duration::from_secs(1)).await;
        let late = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            peer.answer(ok).await;
        };
        let (second, ()) = tokio::join!(start_within(within(10), pool, server, "GET", None), late);
        drop(second.unwrap().1.into_body(false));
        assert_eq!(pool.idle_count(), 1);
        let began = Instant::now();
        let third = start_within(within(1), pool, server, "GET", None).await;
        assert!(matches!(third.err().unwrap(), UpstreamError::Deadline));
        assert_eq!(began.elapsed().as_secs(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_a_body_that_never_pauses() {
    worker(async |pool, server| {
        let limits = Limits {
            deadline: Some(Instant::now() + Duration::from_secs(15)),
            ..LIMITS
        };
        let serve =
            server.answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
        let (started, mut peer) =
            tokio::join!(start_within(limits, pool, server, "GET", None), serve);
        let mut body = started.unwrap().1.into_body(false);
        assert!(piece(&mut body).await.unwrap().is_ok());
        peer.write("1\r\nb\r\n").await;
        tokio::time::advance(Duration::from_secs(16)).await;
        let error = piece(&mut body).await.unwrap().unwrap_err();
        assert!(matches!(error, UpstreamError::Deadline), "{error:?}");
        peer.closed().await;
    })
    .await;
}
