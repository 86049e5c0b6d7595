# A version script for the linker of util/libcrypto.num or util/libssl.num, which list each symbol and the version it came
# with: `awk -f versions.awk FILE.num`. The crate leaves out the tool of OpenSSL's own that makes one.
function rank(version, part)
{
    split(version, part, "_")
    return part[1] * 10000 + part[2] * 100 + part[3]
}

$4 !~ /^NOEXIST/ {
    if (!($3 in symbols))
        versions[++n] = $3
    symbols[$3] = symbols[$3] "        " $1 ";\n"
}

END {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && rank(versions[j]) < rank(versions[j - 1]); j--) {
            swap = versions[j]
            versions[j] = versions[j - 1]
            versions[j - 1] = swap
        }
    for (i = 1; i <= n; i++) {
        name = "OPENSSL_" versions[i]
        gsub(/_/, ".", name)
        sub(/\./, "_", name)
        printf "%s {\n    global:\n%s%s}%s;\n", name, symbols[versions[i]], i == n ? "    local: *;\n" : "", before
        before = " " name
    }
}
