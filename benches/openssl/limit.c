/* What OpenSSL's low-level triple DES does for one CC: one block decrypted under one double-length key, one
 * encrypted under another, all key schedules ready. Prints nanoseconds for both, measured in processor time.
 * The child process of `benches -- ratios`; compiled by it with `cc -O2 limit.c -lcrypto`. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/des.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS 64

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

int main(int count, char **words)
{
    DES_key_schedule left[KEYS], right[KEYS];
    DES_cblock block = {1, 2, 3, 4, 5, 6, 7, 8}, other;
    double lasts = count > 1 ? atof(words[1]) : 1.0, start = 0, now;
    unsigned long done = 0;
    for (int n = 0; n < KEYS; n++) {
        DES_cblock a, b;
        memset(a, 37 * n | 1, 8);
        memset(b, 91 * n | 2, 8);
        DES_set_key_unchecked(&a, &left[n]);
        DES_set_key_unchecked(&b, &right[n]);
    }
    start = seconds();
    do {
        for (int n = 0; n < KEYS; n += 2) {
            DES_ecb3_encrypt(&block, &other, &left[n], &right[n], &left[n], DES_DECRYPT);
            DES_ecb3_encrypt(&other, &block, &left[n + 1], &right[n + 1], &left[n + 1], DES_ENCRYPT);
            done++;
        }
        now = seconds();
    } while (now - start < lasts);
    printf("%.2f\n", (now - start) * 1e9 / done);
    return 0;
}
