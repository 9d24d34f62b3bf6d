//! What reading and writing heads costs, for a tool that counts instructions: each head goes from one side to the other as it does
//! in the proxy, so many times. Twice with different numbers gives the cost of one without that of starting.
//!
//! ```text
//! cargo build --profile dist -p http-wire --example heads
//! valgrind --tool=callgrind target/dist/examples/heads small-request 1000
//! ```

#![expect(clippy::unwrap_used, reason = "a measurement fails by panicking")]

use std::hint::black_box;

use http_wire::canonical::{self, Target};
use http_wire::h1::answer::{self, Connection};
use http_wire::h1::{Framing, RequestParser, ResponseParser, request};
use http_wire::head::{FieldId, Line, RequestHead, ResponseHead};

const SMALL_REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h0.example\r\n\r\n";
/// What a browser sends for a page.
const LARGE_REQUEST: &[u8] = b"GET /articles/2024/codecs?page=2&sort=new HTTP/1.1\r\n\
Host: www.example.com\r\n\
Connection: keep-alive\r\n\
sec-ch-ua: \"Chromium\";v=\"128\", \"Not;A=Brand\";v=\"24\"\r\n\
sec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Linux\"\r\n\
Upgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-User: ?1\r\n\
Sec-Fetch-Dest: document\r\n\
Referer: https://www.example.com/articles\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Accept-Language: en-GB,en;q=0.9,de;q=0.8\r\n\
Cookie: session=4f6d2c1a9be84d0f; theme=dark; consent=1%2C2%2C3\r\n\r\n";
const SMALL_RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n";
const LARGE_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
Server: nginx/1.27.0\r\n\
Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
Content-Type: text/html; charset=utf-8\r\n\
Transfer-Encoding: chunked\r\n\
Connection: keep-alive\r\n\
Vary: Accept-Encoding\r\n\
Cache-Control: private, max-age=0, must-revalidate\r\n\
ETag: W/\"33a64df551425fcc55e4d42a148795d9f25f89d4\"\r\n\
Last-Modified: Sun, 06 Nov 1994 08:12:31 GMT\r\n\
X-Content-Type-Options: nosniff\r\n\
X-Frame-Options: SAMEORIGIN\r\n\
Strict-Transport-Security: max-age=63072000; includeSubDomains\r\n\
Set-Cookie: session=4f6d2c1a9be84d0f; Path=/; Secure; HttpOnly; SameSite=Lax\r\n\r\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let times = arguments.next().map_or(1, |times| times.parse().unwrap());
    let run: fn(&mut Heads) = match &*what {
        "small-request" => |heads| heads.request(SMALL_REQUEST),
        "large-request" => |heads| heads.request(LARGE_REQUEST),
        "small-response" => |heads| heads.response(SMALL_RESPONSE),
        "large-response" => |heads| heads.response(LARGE_RESPONSE),
        _ => panic!("small-request, large-request, small-response or large-response"),
    };
    let mut heads = Heads {
        address: Line::new(FieldId::XForwardedFor, b"192.0.2.1").unwrap(),
        scheme: Line::new(FieldId::XForwardedProto, b"http").unwrap(),
        request: RequestHead::new(),
        response: ResponseHead::new(),
        out: Vec::new(),
    };
    for _ in 0..times {
        heads.out.clear();
        run(&mut heads);
        black_box(&heads.out);
    }
}

/// What is kept from one request to the next.
struct Heads {
    address: Line,
    scheme: Line,
    request: RequestHead,
    response: ResponseHead,
    out: Vec<u8>,
}

impl Heads {
    fn request(&mut self, input: &[u8]) {
        let input = black_box(input);
        let head = &mut self.request;
        let received = RequestParser::new().parse(input, head).unwrap().unwrap();
        canonical::read(head, &Target::parse(&input[received.target]).unwrap()).unwrap();
        let fields = head.fields_mut();
        fields.remove_hop_by_hop();
        // What the proxy says of the client.
        fields.append_line(&self.address).unwrap();
        fields.append_line(&self.scheme).unwrap();
        let id = b"7d444840-9dc0-41d1-b245-5ffdce74fad2";
        fields.set(FieldId::XRequestId, id).unwrap();
        black_box((head.method(), head.host(), head.path(), head.query()));
        request::encode_head(head, Framing::None, &mut self.out);
        head.clear();
    }

    fn response(&mut self, input: &[u8]) {
        let input = black_box(input);
        let head = &mut self.response;
        let parsed = ResponseParser::new().parse(input, false, head);
        black_box(parsed.unwrap().unwrap());
        head.fields_mut().remove_hop_by_hop();
        let date = black_box(&b"Sun, 06 Nov 1994 08:49:37 GMT"[..]);
        let (framing, connection) = (answer::Framing::Length(100), Connection::Persists);
        answer::encode_head(head, framing, connection, b"signalbox", date, &mut self.out);
        head.clear();
    }
}
