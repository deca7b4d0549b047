-- Requests with the tokens of a file, and what one run of wrk counted, as one line of JSON behind
-- wrk's own words. Arguments behind the URL: the file, which has one token a line, all of the same
-- length; then "turn" and the number of the first one, or "random" and a seed.
--
-- The file is mapped and each request is made in one buffer, so that a million tokens cost wrk no
-- more than ten. With a single token no code of this file runs during the measurement.
local ffi = require("ffi")
ffi.cdef [[
    int open(const char *path, int flags, ...);
    long lseek(int fd, long offset, int whence);
    void *mmap(void *address, size_t length, int protection, int flags, int fd, long offset);
]]

local function map(path)
    local PROT_READ, MAP_PRIVATE, SEEK_END = 1, 2, 2
    local fd = ffi.C.open(path, 0)
    local size = tonumber(ffi.C.lseek(fd, 0, SEEK_END))
    if fd < 0 or size <= 0 then error("no tokens in " .. path) end
    return ffi.cast("const char *", ffi.C.mmap(nil, size, PROT_READ, MAP_PRIVATE, fd, 0)), size
end

local function in_turn(count, first)
    local n = first - 1
    return function()
        n = (n + 1) % count
        return n
    end
end

local function at_random(count, seed)
    math.randomseed(seed)
    return function() return math.random(0, count - 1) end
end

local function rotate(text, length, tokens, number)
    local before = text:find("@TOKEN@", 1, true) - 1
    local head, tail = text:sub(1, before), text:sub(before + #"@TOKEN@" + 1)
    local size = #head + length + #tail
    local buffer = ffi.new("char[?]", size)
    ffi.copy(buffer, head, #head)
    ffi.copy(buffer + #head + length, tail, #tail)
    return function()
        ffi.copy(buffer + #head, tokens + number() * (length + 1), length)
        return ffi.string(buffer, size)
    end
end

function init(arguments)
    local tokens, size = map(arguments[1])
    local length = 0
    while tokens[length] ~= 10 do length = length + 1 end
    local count = size / (length + 1)
    wrk.headers["Authorization"] = "Bearer " .. (count == 1 and ffi.string(tokens, length) or "@TOKEN@")
    if count == 1 then return end
    local order = arguments[2] == "turn" and in_turn or at_random
    request = rotate(wrk.format(), length, tokens, order(count, tonumber(arguments[3])))
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '{"requests": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d, "connect": %d, '
            .. '"read": %d, "write": %d, "status": %d, "timeout": %d}\n',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.connect, e.read, e.write, e.status, e.timeout))
end
