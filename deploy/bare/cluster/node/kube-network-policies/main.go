// The policy engine, with the packet rules of set-up in place of its own.
//
// Its own rules need nftables' queue expression. Where a kernel has none, each of its tries, one at every change of a
// pod or a policy, hooks a chain in and out again, and the kernel then drops whatever waits in a queue for a verdict:
// connections that begin in that moment. A table's name that the kernel refuses at once hooks nothing.
package main

import (
	"context"
	"flag"
	"net/http"
	"os/signal"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	"sigs.k8s.io/kube-network-policies/pkg/networkpolicy"
)

const longestTableName = 255 // the kernel's NFT_TABLE_MAXNAMELEN, less the end

func main() {
	node := flag.String("node", "", "the node's name")
	queue := flag.Int("queue", 100, "the number of the packets' queue")
	address := flag.String("metrics", "127.0.0.1:9080", "where its figures are served")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	config, err := rest.InClusterConfig()
	if err != nil {
		klog.Fatalf("not within a cluster: %v", err)
	}
	config.ContentType = "application/vnd.kubernetes.protobuf"
	config.AcceptContentTypes = config.ContentType + ",application/json"
	client := kubernetes.NewForConfigOrDie(config)
	seen := informers.NewSharedInformerFactory(client, 0)
	engine, err := networkpolicy.NewController(
		client,
		seen.Networking().V1().NetworkPolicies(),
		seen.Core().V1().Namespaces(),
		seen.Core().V1().Pods(),
		nil, nil, nil, nil,
		networkpolicy.Config{
			QueueID:     *queue,
			NodeName:    *node,
			NFTableName: strings.Repeat("x", longestTableName+1),
		},
	)
	if err != nil {
		klog.Fatalf("the policy engine: %v", err)
	}
	http.Handle("/metrics", promhttp.Handler())
	go func() { klog.Errorf("figures: %v", http.ListenAndServe(*address, nil)) }()
	seen.Start(ctx.Done())
	if err := engine.Run(ctx); err != nil {
		klog.Fatalf("the policy engine: %v", err)
	}
}
