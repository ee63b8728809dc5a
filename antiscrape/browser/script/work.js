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

function sha256(data) {
  const length = data.length, blocks = (length + 72) >> 6;
  const padded = new Uint8Array(blocks * 64), view = new DataView(padded.buffer);
  padded.set(data);
  padded[length] = 128;
  view.setUint32(padded.length - 4, length * 8);
  const h = H.slice();
  for (let at = 0; at < padded.length; at += 64) {
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
  const out = new Uint8Array(32);
  h.forEach((word, i) => new DataView(out.buffer).setUint32(i * 4, word));
  return out;
}

function joined(...parts) {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => (out.set(part, at), at + part.length), 0);
  return out;
}

function hmac(key, data) {
  const pad = (byte) => {
    const out = new Uint8Array(64).fill(byte);
    key.forEach((value, i) => { out[i] ^= value; });
    return out;
  };
  return sha256(joined(pad(0x5c), sha256(joined(pad(0x36), data))));
}

// PBKDF2 (RFC 8018 §5.2) with one iteration, which is all that scrypt asks of it.
function stretch(password, salt, length) {
  const out = new Uint8Array(length);
  for (let i = 1, at = 0; at < length; i++, at += 32) {
    out.set(hmac(password, joined(salt, [i >>> 24, i >>> 16, i >>> 8, i])).subarray(0, length - at), at);
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

function scrypt(password, salt, cost, r, length, memory) {
  const words = 32 * r, bytes = stretch(password, salt, 128 * r);
  const block = new Int32Array(words), other = new Int32Array(words), view = new DataView(bytes.buffer);
  for (let i = 0; i < words; i++) block[i] = view.getInt32(i * 4, true);
  for (let i = 0; i < cost; i++) {
    memory.set(block, i * words);
    mix(block, other, r);
  }
  for (let i = 0; i < cost; i++) {
    const at = (block[words - 16] & cost - 1) * words;
    for (let k = 0; k < words; k++) block[k] ^= memory[at + k];
    mix(block, other, r);
  }
  for (let i = 0; i < words; i++) view.setInt32(i * 4, block[i], true);
  return stretch(password, bytes, length);
}

const unhex = (text) => Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// ALTCHA's challenge, version 2: the password is the nonce and a counter of 32 bits.
export async function solve({ nonce, salt, cost, memoryCost, keyLength, keyPrefix }, rest = () => {}) {
  const memory = new Int32Array(32 * memoryCost * cost), password = joined(unhex(nonce), [0, 0, 0, 0]);
  for (let counter = 0; ; counter++) {
    new DataView(password.buffer).setUint32(password.length - 4, counter);
    const key = hex(scrypt(password, unhex(salt), cost, memoryCost, keyLength, memory));
    if (key.startsWith(keyPrefix)) return { counter, derivedKey: key };
    await rest();
  }
}

if (typeof document === "undefined") {
  onmessage = async ({ data }) => postMessage(await solve(data));
}
