-- Sends the requests that the file named by BENCH_REQUESTS holds, one after the other, and reports
-- [answers, failures, bytes, seconds] as one line of JSON. With a connection for each thread, each
-- connection is one visitor's, who asks again and again: thread number n sends the file's request n.

local requests, at = {}, 0
local threads = 0

function setup(thread)
  threads = threads + 1
  thread:set("number", threads)
end

function init()
  local file = assert(io.open(os.getenv("BENCH_REQUESTS"), "rb"))
  for request in file:read("*a"):gmatch("(.-\r\n\r\n)") do
    requests[#requests + 1] = request
  end
  file:close()
  if os.getenv("BENCH_APART") then
    requests = { requests[(number - 1) % #requests + 1] }
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary)
  local errors = summary.errors
  local failures = errors.status + errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("[%d, %d, %d, %.6f]\n",
    summary.requests, failures, summary.bytes, summary.duration / 1e6))
end
