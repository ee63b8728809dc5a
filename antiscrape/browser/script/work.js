// The check's work: scrypt (RFC 7914) over a counter, until the key begins as the challenge asks.
// In a worker it answers one message; where no worker may run, check.js calls solve() in small steps.

const K = new Uint32Array(64);
const H = new Uint32Array(8);

// FIPS 180-4 §4.2.2 and §5.3.3: fractions of the cube and square roots of the first primes.
for (let n = 2, found = 0; found < 64; n++) {
  let prime = true;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
  if (!prime) continue;
  if (found < 8) H[found] = (Math.sqrt(n) % 1) * 2 ** 32;
  K[found++] = (Math.cbrt(n) % 1) * 2 ** 32;
}

const W = new Uint32Array(64);

// FIPS 180-4 §6.2: one block of 64 bytes.
function compress(h, view, at) {
  for (let i = 0; i < 16; i++) W[i] = view.getUint32(at + i * 4);
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15], y = W[i - 2];
    W[i] = W[i - 16] + W[i - 7] + ((x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ x >>> 3)
      + ((y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ y >>> 10);
  }
  let [a, b, c, d, e, f, g, j] = h;
  for (let i = 0; i < 64; i++) {
    const t = j + ((e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7))
      + (e & f ^ ~e & g) + K[i] + W[i] | 0;
    const u = ((a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10)) + (a & b ^ a & c ^ b & c) | 0;
    j = g; g = f; f = e; e = d + t | 0; d = c; c = b; b = a; a = t + u | 0;
  }
  h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += j;
}

// The hash of a block, after which it stands at "first", and of data.
function digest(first, data) {
  const length = data.length, padded = new Uint8Array(length + 72 >> 6 << 6), view = new DataView(padded.buffer);
  padded.set(data);
  padded[length] = 128;
  view.setUint32(padded.length - 4, (length + 64) * 8);
  const h = first.slice(), out = new DataView(new ArrayBuffer(32));
  for (let at = 0; at < padded.length; at += 64) compress(h, view, at);
  h.forEach((word, i) => out.setUint32(i * 4, word));
  return new Uint8Array(out.buffer);
}

function joined(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

// PBKDF2 (RFC 8018 §5.2) with one iteration, which is all that scrypt asks of it. The first blocks of HMAC's two hashes
// (RFC 2104 §4) are the password's alone.
function stretch(password, salt, length) {
  const [outer, inner] = [0x5c, 0x36].map((byte) => {
    const pad = new Uint8Array(64).fill(byte), h = H.slice();
    password.forEach((value, i) => { pad[i] ^= value; });
    compress(h, new DataView(pad.buffer), 0);
    return h;
  });
  const out = new Uint8Array(length);
  for (let i = 1, at = 0; at < length; i++, at += 32) {
    const counted = joined(salt, [i >>> 24, i >>> 16, i >>> 8, i]);
    out.set(digest(outer, digest(inner, counted)).subarray(0, length - at), at);
  }
  return out;
}

// RFC 7914 §3 and §4: the words of x, a running block of sixteen, are mixed with those of one more block.
function salsa(x, block, from) {
  for (let i = 0; i < 16; i++) x[i] ^= block[from + i];
  let s0 = x[0], s1 = x[1], s2 = x[2], s3 = x[3], s4 = x[4], s5 = x[5], s6 = x[6], s7 = x[7];
  let s8 = x[8], s9 = x[9], sa = x[10], sb = x[11], sc = x[12], sd = x[13], se = x[14], sf = x[15], t = 0;
  for (let i = 0; i < 4; i++) {
    s4 ^= (t = s0 + sc | 0) << 7 | t >>> 25; s8 ^= (t = s4 + s0 | 0) << 9 | t >>> 23;
    sc ^= (t = s8 + s4 | 0) << 13 | t >>> 19; s0 ^= (t = sc + s8 | 0) << 18 | t >>> 14;
    s9 ^= (t = s5 + s1 | 0) << 7 | t >>> 25; sd ^= (t = s9 + s5 | 0) << 9 | t >>> 23;
    s1 ^= (t = sd + s9 | 0) << 13 | t >>> 19; s5 ^= (t = s1 + sd | 0) << 18 | t >>> 14;
    se ^= (t = sa + s6 | 0) << 7 | t >>> 25; s2 ^= (t = se + sa | 0) << 9 | t >>> 23;
    s6 ^= (t = s2 + se | 0) << 13 | t >>> 19; sa ^= (t = s6 + s2 | 0) << 18 | t >>> 14;
    s3 ^= (t = sf + sb | 0) << 7 | t >>> 25; s7 ^= (t = s3 + sf | 0) << 9 | t >>> 23;
    sb ^= (t = s7 + s3 | 0) << 13 | t >>> 19; sf ^= (t = sb + s7 | 0) << 18 | t >>> 14;
    s1 ^= (t = s0 + s3 | 0) << 7 | t >>> 25; s2 ^= (t = s1 + s0 | 0) << 9 | t >>> 23;
    s3 ^= (t = s2 + s1 | 0) << 13 | t >>> 19; s0 ^= (t = s3 + s2 | 0) << 18 | t >>> 14;
    s6 ^= (t = s5 + s4 | 0) << 7 | t >>> 25; s7 ^= (t = s6 + s5 | 0) << 9 | t >>> 23;
    s4 ^= (t = s7 + s6 | 0) << 13 | t >>> 19; s5 ^= (t = s4 + s7 | 0) << 18 | t >>> 14;
    sb ^= (t = sa + s9 | 0) << 7 | t >>> 25; s8 ^= (t = sb + sa | 0) << 9 | t >>> 23;
    s9 ^= (t = s8 + sb | 0) << 13 | t >>> 19; sa ^= (t = s9 + s8 | 0) << 18 | t >>> 14;
    sc ^= (t = sf + se | 0) << 7 | t >>> 25; sd ^= (t = sc + sf | 0) << 9 | t >>> 23;
    se ^= (t = sd + sc | 0) << 13 | t >>> 19; sf ^= (t = se + sd | 0) << 18 | t >>> 14;
  }
  x[0] += s0; x[1] += s1; x[2] += s2; x[3] += s3; x[4] += s4; x[5] += s5; x[6] += s6; x[7] += s7;
  x[8] += s8; x[9] += s9; x[10] += sa; x[11] += sb; x[12] += sc; x[13] += sd; x[14] += se; x[15] += sf;
}

// Signed words: an engine keeps them in registers, where unsigned ones may become floats.
const X = new Int32Array(16);

function mix(block, other, r) {
  const words = 32 * r;
  X.set(block.subarray(words - 16));
  for (let i = 0; i < 2 * r; i++) {
    salsa(X, block, i * 16);
    other.set(X, (i & 1 ? i - 1 + 2 * r : i) * 8);
  }
  block.set(other);
}

function plain(cost, r) {
  const words = 32 * r, memory = new Int32Array(words * cost), other = new Int32Array(words);
  return (block) => {
    for (let i = 0; i < cost; i++) {
      memory.set(block, i * words);
      mix(block, other, r);
    }
    for (let i = 0; i < cost; i++) {
      const at = (block[words - 16] & cost - 1) * words;
      for (let k = 0; k < words; k++) block[k] ^= memory[at + k];
      mix(block, other, r);
    }
  };
}

// The same for a processor's vectors (WebAssembly SIMD): each block in the order of its diagonals, four words at once.
// An engine runs this fast from the first round on, where it has to come to know the words above for longer than most
// checks take. It is put together here, so that it can be read; where a policy or an old browser has none, plain() does it.
const leb = (n) => (n < 128 ? [n] : [n & 127 | 128, ...leb(n >>> 7)]);
const list = (...parts) => [...leb(parts.length), ...parts.flat()];
const section = (id, body) => [id, ...leb(body.length), ...body];
const get = (local) => [0x20, local], set = (local) => [0x21, local], vector = (code) => [0xfd, ...leb(code)];
const [I32, V128, SUM] = [0x7f, 0x7b, 0x6a];

// BlockMix of what lies at src and at other, one xor the other, to dst; "half" and "last" are bytes from their beginnings.
function mixing() {
  const [src, other, dst, half, last, end, t] = [0, 1, 2, 3, 4, 5, 6], x = [7, 8, 9, 10], was = [11, 12, 13, 14];
  const code = [];
  const xored = (k, offset, ...from) => {
    for (const base of [src, other]) {
      code.push(...get(base), ...from, ...vector(0x00), 4, ...leb(offset + 16 * k));
      if (base === other) code.push(...vector(0x51));
    }
  };
  const step = (to, a, b, by) => code.push(
    ...get(a), ...get(b), ...vector(0xae), ...set(t), // i32x4.add
    ...get(to), ...get(t), 0x41, by, ...vector(0xab), ...vector(0x51), // xor of t << by
    ...get(t), 0x41, 32 - by, ...vector(0xad), ...vector(0x51), ...set(to), // and of t >>> 32 - by
  );
  const turn = (local, by) => {
    const bytes = Array.from({ length: 16 }, (_, i) => (i + 4 * by) % 16);
    code.push(...get(local), ...get(local), ...vector(0x0d), ...bytes, ...set(local));
  };
  const round = (a, b, c, d) => {
    step(b, a, d, 7); step(c, b, a, 9); step(d, c, b, 13); step(a, d, c, 18);
    turn(b, 3); turn(c, 2); turn(d, 1);
  };
  const salsa = (offset, ...to) => {
    x.forEach((local, k) => {
      xored(k, offset);
      code.push(...get(local), ...vector(0x51), ...set(local), ...get(local), ...set(was[k]));
    });
    for (let i = 0; i < 4; i++) {
      round(x[0], x[1], x[2], x[3]);
      round(x[0], x[3], x[2], x[1]);
    }
    x.forEach((local, k) => code.push(
      ...get(local), ...get(was[k]), ...vector(0xae), ...set(local),
      ...get(dst), ...to, ...get(local), ...vector(0x0b), 4, ...leb(16 * k),
    ));
  };
  code.push(...get(src), ...get(half), SUM, ...get(half), SUM, ...set(end));
  x.forEach((local, k) => {
    xored(k, 0, ...get(last), SUM);
    code.push(...set(local));
  });
  code.push(0x03, 0x40); // loop: a block to the first half, one to the second
  salsa(0);
  salsa(64, ...get(half), SUM);
  for (const [local, by] of [[src, [0x80, 1]], [other, [0x80, 1]], [dst, [0xc0, 0]]]) {
    code.push(...get(local), 0x41, ...by, SUM, ...set(local)); // by 128, 128 and 64 (signed LEB128)
  }
  code.push(...get(src), ...get(end), 0x49, 0x0d, 0, 0x0b, 0x0b); // again while src < end
  return [...list([1, I32], [9, V128]), ...code];
}

function vectors(cost, r) {
  const bytes = 128 * r, pages = Math.ceil((cost + 3) * bytes / 65536), body = mixing();
  const module = [
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
    ...section(1, list([0x60, 5, I32, I32, I32, I32, I32, 0])),
    ...section(3, list([0])),
    ...section(5, list([0, ...leb(pages)])),
    ...section(7, list([1, 0x6d, 2, 0], [1, 0x66, 0, 0])), // the memory as "m", the function as "f"
    ...section(10, list([...leb(body.length), ...body])),
  ];
  const { m, f } = new WebAssembly.Instance(new WebAssembly.Module(Uint8Array.from(module))).exports;
  const memory = new Int32Array(m.buffer), place = (i) => (i & ~15) + (i * 5 & 15);
  return (block) => { // the memory, then two blocks that take turns, then one of zeros
    block.forEach((_, i) => { memory[i] = block[place(i)]; });
    for (let i = 0; i < cost; i++) f(i * bytes, (cost + 2) * bytes, (i + 1) * bytes, bytes / 2, bytes - 64);
    let at = cost * bytes, to = at + bytes;
    for (let i = 0; i < cost; i++) {
      f(at, (memory[(at + bytes - 64) / 4] & cost - 1) * bytes, to, bytes / 2, bytes - 64);
      [at, to] = [to, at];
    }
    block.forEach((_, i) => { block[place(i)] = memory[at / 4 + i]; });
  };
}

function romix(cost, r) {
  try {
    return vectors(cost, r);
  } catch {
    return plain(cost, r);
  }
}

// The browser's own is quick from the first; ours is most of the work until an engine has come to know it. Over plain http
// there is none, and Firefox's gives no more than 256 bytes: where it gave out once it is asked no more, for each of its
// answers comes by way of other threads.
let own = true;

async function stretched(password, salt, length) {
  try {
    if (own) {
      const key = await crypto.subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
      const told = { name: "PBKDF2", hash: "SHA-256", iterations: 1, salt };
      return new Uint8Array(await crypto.subtle.deriveBits(told, key, length * 8));
    }
  } catch {
    own = false;
  }
  return stretch(password, salt, length);
}

async function scrypt(password, salt, r, length, mixed) {
  const bytes = await stretched(password, salt, 128 * r), block = new Int32Array(32 * r), view = new DataView(bytes.buffer);
  block.forEach((_, i) => { block[i] = view.getInt32(i * 4, true); });
  mixed(block);
  block.forEach((word, i) => view.setInt32(i * 4, word, true));
  return stretched(password, bytes, length);
}

const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// ALTCHA's challenge, version 2: the password is the nonce and a counter of 32 bits.
// Who rests in between is the page itself, whose policy might forbid vectors, and report that they were tried.
export async function solve({ nonce, salt, cost, memoryCost, keyLength, keyPrefix }, rest) {
  const mixed = (rest ? plain : romix)(cost, memoryCost), password = joined(unhex(nonce), [0, 0, 0, 0]);
  for (let counter = 0; ; counter++) {
    new DataView(password.buffer).setUint32(password.length - 4, counter);
    const key = hex(await scrypt(password, unhex(salt), memoryCost, keyLength, mixed));
    if (key.startsWith(keyPrefix)) return { counter, derivedKey: key };
    await rest?.();
  }
}

if (typeof document === "undefined") {
  onmessage = async ({ data }) => postMessage(await solve(data));
}
